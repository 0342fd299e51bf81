/* Word classes: the function words, verbs of speech, titles and kinds of beings that the rules go by. */
#include "story/analyse_int.h"

#define C(name) AN_C(name)

const struct an_lex an_lexicon[] = {
    /* ---- Verbs of speech and thought ---- */
    {"en", C(SPEECH),
     "said say says saying saith sayeth quoth asked ask asks asking cried cry cries crying called call calls "
     "calling shouted shout shouts shouting yelled yell yells screamed scream screams screaming shrieked shriek "
     "shrieks whispered whisper whispers whispering murmured murmur murmurs murmuring muttered mutter mutters "
     "muttering mumbled mumbles exclaimed exclaim exclaims exclaiming added add adds adding began begins continued "
     "continues continuing remarked remarks observed observes told tell tells telling spoke speaks speaking "
     "declared declares announced announces explained explains suggested suggests insisted insists admitted admits "
     "agreed agrees argued argues asserted asserts assured assures begged begs begging bellowed bellows bawled "
     "blurted boasted boomed breathed breathes burst cackled cautioned challenged chanted chattered chided chimed "
     "chirped choked chortled chuckled chuckles claimed coaxed cooed commanded commands commented comments "
     "complained complains conceded concluded confessed confesses confided confirmed corrected countered croaked "
     "crooned crowed demanded demands demanding drawled ejaculated encouraged enquired inquired inquires inquiring "
     "faltered finished gasped gasps giggled giggles greeted groaned groans growled growls grumbled grumbles "
     "grunted grunts guessed gurgled hissed hisses hollered hooted howled howls implored informed interjected "
     "interposed interrupted interrupts intoned invited jeered jested joked joked laughed laughs laughing lied "
     "lamented lectured lisped maintained mentioned mimicked moaned moans mocked mouthed mused nagged noted "
     "objected offered offers ordered orders panted persisted piped pleaded pleads pleading pointed_out pondered "
     "praised prayed promised promises prompted pronounced proposed protested protests purred put_in quavered "
     "queried questioned quipped quoted rambled ranted rasped read reassured recalled recited recommended reflected "
     "related reminded reminds repeated repeats requested resumed resumes revealed roared roars rumbled sang sings "
     "scoffed scolded sighed sighs smiled smiles smirked snapped snaps snarled snarls sneered snickered sniffed "
     "sniffled snorted snorts sobbed sobs soothed spat speculated spluttered sputtered squawked squeaked squeaks "
     "squealed stammered stammers stated states stormed stuttered sulked swore swears taunted teased teases tempted "
     "threatened threatens thundered trilled urged urges uttered ventured volunteered vowed wailed wails warned "
     "warns went_on wept weeping wheezed wheedled whimpered whimpers whined whines whooped yawned yelped yodelled "
     "nodded grinned frowned shrugged bleated barked barks brayed cawed clucked cheeped meowed mewed neighed "
     "quacked squawked twittered bubbled beamed gushed grated gritted ground hailed hummed hazarded instructed "
     "jabbered ordained opined pressed probed pursued reasoned rattled reckoned scowled signed stipulated testified "
     "translated vouchsafed wagered whistled stressed supplied trailed sounded sympathized sympathised exhorted "
     "entreated expostulated apologized apologised acknowledged advised affirmed allowed babbled bantered begun bid "
     "bade counselled cursed denied described dictated directed dismissed echoed echoes elaborated emphasized "
     "emphasised assented mourned remonstrated exploded acquiesced proceeded enunciated fumed prattled reported "
     "appealed rebuked flashed demurred consented ended ejaculate explained forbade hinted proclaimed professed "
     "puzzled"},
    {"en", C(PARTICLE), "broke breaks cut cuts struck put chimed went goes burst bursts called cried sang"},
    {"en", C(NAMING),
     "called call calls calling named titled entitled styled termed dubbed read reads inscribed labelled signed"},
    {"en", C(SPEECH) | C(REPLY),
     "answered answer answers answering replied reply replies replying responded respond responds retorted retorts "
     "returned rejoined"},
    {"en", C(RESUME), "continued continues continuing added adds adding resumed resumes went goes proceeded pursued"},
    {"de", C(RESUME), "fuhr fügte"},
    {"fr", C(RESUME), "continua continue poursuivit ajouta ajoute"},
    {"es", C(RESUME), "continuó continúa prosiguió añadió añade agregó"},
    {"en", C(DEAR), "dear dearest"},
    {"de", C(DEAR), "lieber liebe liebster liebste"},
    {"fr", C(DEAR), "cher chère"},
    {"es", C(DEAR), "querido querida estimado estimada"},
    {"en", C(SAYING),
     "reply answer response retort rejoinder remark comment observation exclamation inquiry enquiry question cry"},
    {"en", C(ANSWER), "yes no aye nay oh ah well why indeed certainly nonsense nothing because not never"},
    {"de", C(ANSWER), "ja nein doch nichts nie weil"},
    {"fr", C(ANSWER), "oui non si rien jamais"},
    {"es", C(ANSWER), "sí no nada nunca porque"},
    {"en", C(THINK),
     "thought thinks think thinking wondered wonders wondering mused reflected reasoned pondered considered decided "
     "realized realised remembered"},
    {"de", C(SPEECH),
     "sagte sagt sage fragte fragt rief ruft sprach spricht flüsterte flüstert schrie schreit meinte meint murmelte "
     "murmelt brummte brummt seufzte seufzt lachte lacht stammelte stotterte brüllte brüllt knurrte erklärte "
     "erklärt bemerkte begann fuhr fügte bat befahl bettelte jammerte jubelte kicherte klagte krächzte kreischte "
     "maulte mahnte nickte lächelte piepste quiekte raunte schimpfte schluchzte stöhnte tröstete warnte weinte "
     "wiederholte wisperte zischte drohte erkundigte erzählte forderte gestand hauchte keuchte lispelte rieten "
     "behauptete bestätigte verkündete verlangte versprach versicherte wollte_wissen unterbrach grüßte heulte "
     "grollte"},
    {"de", C(SPEECH) | C(REPLY), "antwortete antwortet erwiderte erwidert entgegnete versetzte"},
    {"de", C(THINK), "dachte denkt überlegte grübelte wunderte"},
    {"fr", C(SPEECH),
     "dit dis disait disent fit fait demanda demande demandait cria crie criait écria écrie murmura murmure "
     "chuchota chuchote reprit reprend répéta répète ajouta ajoute continua continue hurla hurle soupira soupire "
     "exclama exclame balbutia bégaya grogna gronda lança lance déclara déclare interrogea protesta objecta observa "
     "remarqua poursuivit interrompit souffla gémit sanglota rit ricana sourit pleura ordonna supplia pria promit "
     "avoua expliqua expliquait affirma annonça conclut insista marmonna bredouilla appela commença proposa suggéra "
     "grommela bougonna maugréa lâcha admit assura confia menaça raconta conseilla commanda prévint"},
    {"fr", C(SPEECH) | C(REPLY), "répondit répond répondait répliqua réplique riposta rétorqua"},
    {"fr", C(THINK), "pensa pense pensait songea songeait réfléchit"},
    {"es", C(SPEECH),
     "dijo dice decía dijeron preguntó pregunta preguntaba gritó grita exclamó exclama murmuró murmura susurró "
     "susurra añadió añade agregó repitió repite continuó continúa prosiguió ordenó ordena suplicó pidió explicó "
     "explica insistió comentó susurraba balbuceó tartamudeó gruñó gimió sollozó suspiró rió sonrió lloró llamó "
     "declaró afirmó anunció protestó objetó observó advirtió prometió confesó interrumpió propuso sugirió musitó "
     "chilló rugió aulló bramó clamó rogó saludó mandó contó"},
    {"es", C(SPEECH) | C(REPLY), "respondió responde contestó contesta replicó repuso"},
    {"es", C(THINK), "pensó pensaba piensa reflexionó meditó"},
    {"it", C(SPEECH),
     "disse dice diceva chiese chiede domandò domanda gridò grida esclamò esclama mormorò mormora sussurrò sussurra "
     "aggiunse ripeté continuò riprese urlò ordinò spiegò insistette balbettò brontolò grugnì gemette singhiozzò "
     "sospirò rise sorrise pianse chiamò dichiarò affermò annunciò protestò obiettò osservò avvertì promise "
     "confessò interruppe propose suggerì fece strillò ruggì supplicò pregò salutò"},
    {"it", C(SPEECH) | C(REPLY), "rispose risponde replicò"},
    {"it", C(THINK), "pensò pensava pensa rifletté"},
    {"pt", C(SPEECH),
     "disse diz dizia perguntou pergunta gritou grita exclamou exclama murmurou murmura sussurrou sussurra "
     "acrescentou repetiu continuou prosseguiu ordenou suplicou pediu explicou insistiu comentou balbuciou gaguejou "
     "resmungou gemeu soluçou suspirou riu sorriu chorou chamou declarou afirmou anunciou protestou objetou "
     "observou avisou prometeu confessou interrompeu propôs sugeriu berrou rugiu rogou indagou falou"},
    {"pt", C(SPEECH) | C(REPLY), "respondeu responde replicou retrucou"},
    {"pt", C(THINK), "pensou pensava pensa refletiu"},
    {"nl", C(SPEECH),
     "zei zegt vroeg vraagt riep roept fluisterde fluistert schreeuwde mompelde sprak spreekt zuchtte herhaalde "
     "lachte snikte stamelde stotterde brulde gromde bromde huilde jammerde kreunde knikte glimlachte smeekte beval "
     "vervolgde begon voegde verklaarde merkte beloofde waarschuwde gilde krijste"},
    {"nl", C(SPEECH) | C(REPLY), "antwoordde antwoordt hernam"},
    {"nl", C(THINK), "dacht denkt peinsde"},
    {"sv", C(SPEECH), "sa sade säger frågade frågar ropade viskade skrek mumlade suckade skrattade utbrast"},
    {"sv", C(SPEECH) | C(REPLY), "svarade svarar"},
    {"sv", C(THINK), "tänkte tänker undrade"},
    {"da no", C(SPEECH), "sagde sa siger sier spurgte spurte råbte ropte hviskede hvisket skreg mumlede sukkede lo"},
    {"da no", C(SPEECH) | C(REPLY), "svarede svarer svarte"},
    {"da no", C(THINK), "tænkte tenkte"},
    {"pl", C(SPEECH) | C(MALE),
     "powiedział rzekł zapytał spytał zawołał krzyknął szepnął mruknął wykrzyknął westchnął dodał odezwał "
     "odpowiedział odparł odrzekł"},
    {"pl", C(SPEECH) | C(FEMALE),
     "powiedziała rzekła zapytała spytała zawołała krzyknęła szepnęła mruknęła wykrzyknęła westchnęła dodała "
     "odezwała odpowiedziała odparła odrzekła"},
    {"pl", C(THINK), "pomyślał pomyślała"},
    {"ru", C(SPEECH) | C(MALE),
     "сказал спросил ответил крикнул воскликнул прошептал закричал проговорил произнёс произнес добавил отвечал "
     "говорил шепнул пробормотал буркнул вздохнул заметил возразил продолжал повторил позвал молвил удивился "
     "засмеялся рассмеялся заплакал кивнул попросил приказал велел"},
    {"ru", C(SPEECH) | C(FEMALE),
     "сказала спросила ответила крикнула воскликнула прошептала закричала проговорила произнесла добавила отвечала "
     "говорила шепнула пробормотала буркнула вздохнула заметила возразила продолжала повторила позвала молвила "
     "удивилась засмеялась рассмеялась заплакала кивнула попросила приказала велела"},
    {"ru", C(THINK), "подумал подумала"},
    {"uk", C(SPEECH) | C(MALE), "сказав спитав запитав відповів крикнув вигукнув прошепотів мовив додав промовив"},
    {"uk", C(SPEECH) | C(FEMALE), "сказала спитала запитала відповіла крикнула вигукнула прошепотіла мовила додала"},
    {"uk", C(THINK), "подумав подумала"},
    {"tr", C(SPEECH), "dedi sordu bağırdı fısıldadı cevapladı yanıtladı"},

    /* ---- Pronouns, articles ---- */
    {"en", C(HE) | C(STOP), "he"},
    {"en", C(SHE) | C(STOP), "she"},
    {"en", C(IT) | C(STOP), "it"},
    {"en", C(ME) | C(STOP), "i"},
    {"en", C(THEY) | C(STOP), "they we you everyone everybody someone somebody nobody one none both all others each"},
    {"en", C(HIM) | C(STOP), "him himself"},
    {"en", C(HIM) | C(POSS) | C(STOP), "his"},
    {"en", C(HER) | C(STOP), "hers herself"},
    {"en", C(HER) | C(POSS) | C(STOP), "her"},
    {"en", C(POSS) | C(STOP), "my our your their its thy mine"},
    {"en", C(DET) | C(STOP), "the this that these those another yonder"},
    {"en", C(DET) | C(INDEF) | C(STOP), "a an"},
    {"de", C(HE) | C(STOP), "er"},
    {"de", C(SHE) | C(STOP), "sie"},
    {"de", C(ME) | C(STOP), "ich"},
    {"de", C(IT) | C(STOP), "es"},
    {"de", C(THEY) | C(STOP), "wir ihr man alle beide jemand niemand"},
    {"de", C(DET) | C(STOP), "der die das dem den des dieser diese dieses jener jene"},
    {"de", C(DET) | C(INDEF) | C(STOP), "ein eine einer einem einen"},
    {"de", C(POSS) | C(STOP), "sein seine seiner ihre ihrer mein meine meiner unser unsere"},
    {"fr", C(HE) | C(STOP), "il"},
    {"fr", C(SHE) | C(STOP), "elle"},
    {"fr", C(ME) | C(STOP), "je j'"},
    {"fr", C(THEY) | C(STOP), "ils elles nous vous on tous"},
    {"fr", C(DET) | C(STOP), "le la l' les ce cet cette"},
    {"fr", C(DET) | C(INDEF) | C(STOP), "un une"},
    {"fr", C(POSS) | C(STOP), "son sa mon ma notre leur"},
    {"es", C(HE) | C(STOP), "él"},
    {"es", C(SHE) | C(STOP), "ella"},
    {"es", C(ME) | C(STOP), "yo"},
    {"es", C(THEY) | C(STOP), "ellos ellas nosotros todos ambos"},
    {"es", C(DET) | C(STOP), "el la los las aquel aquella este esta"},
    {"es", C(DET) | C(INDEF) | C(STOP), "un una"},
    {"es", C(POSS) | C(STOP), "su mi nuestro nuestra"},
    {"it", C(HE) | C(STOP), "lui egli"},
    {"it", C(SHE) | C(STOP), "lei ella"},
    {"it", C(ME) | C(STOP), "io"},
    {"it", C(THEY) | C(STOP), "loro noi tutti"},
    {"it", C(DET) | C(STOP), "il lo la l' i gli le questo questa quel quella"},
    {"it", C(DET) | C(INDEF) | C(STOP), "un uno una un'"},
    {"it", C(POSS) | C(STOP), "suo sua mio mia"},
    {"pt", C(HE) | C(STOP), "ele"},
    {"pt", C(SHE) | C(STOP), "ela"},
    {"pt", C(ME) | C(STOP), "eu"},
    {"pt", C(THEY) | C(STOP), "eles elas nós todos"},
    {"pt", C(DET) | C(STOP), "o a os as aquele aquela este esta"},
    {"pt", C(DET) | C(INDEF) | C(STOP), "um uma"},
    {"pt", C(POSS) | C(STOP), "seu sua meu minha"},
    {"nl", C(HE) | C(STOP), "hij"},
    {"nl", C(SHE) | C(STOP), "zij ze"},
    {"nl", C(ME) | C(STOP), "ik"},
    {"nl", C(THEY) | C(STOP), "wij we jullie allen"},
    {"nl", C(DET) | C(STOP), "de het die dat deze"},
    {"nl", C(DET) | C(INDEF) | C(STOP), "een"},
    {"nl", C(POSS) | C(STOP), "zijn haar mijn onze"},
    {"sv da no", C(HE) | C(STOP), "han"},
    {"sv da no", C(SHE) | C(STOP), "hon hun"},
    {"sv da no", C(ME) | C(STOP), "jag jeg"},
    {"sv da no", C(DET) | C(STOP), "den det de"},
    {"sv da no", C(DET) | C(INDEF) | C(STOP), "en ett et"},
    {"pl", C(HE) | C(STOP), "on"},
    {"pl", C(SHE) | C(STOP), "ona"},
    {"pl", C(ME) | C(STOP), "ja"},
    {"ru", C(HE) | C(STOP), "он"},
    {"ru", C(SHE) | C(STOP), "она"},
    {"ru", C(ME) | C(STOP), "я"},
    {"ru", C(THEY) | C(STOP), "они мы вы все"},
    {"uk", C(HE) | C(STOP), "він"},
    {"uk", C(SHE) | C(STOP), "вона"},
    {"uk", C(ME) | C(STOP), "я"},

    /* ---- Function words of English: they end a noun phrase and are no names at a sentence's start ---- */
    {"en", C(STOP) | C(PREP),
     "about above across against along amid among amongst around behind below beneath beside besides between beyond "
     "by concerning despite down during except for like minus off on onto opposite out outside over past per plus "
     "regarding round save than throughout till to toward towards under underneath unlike up upon via with without"},
    {"en", C(STOP) | C(PREP) | C(WHERE), "in at from near through into inside within of"},
    {"en", C(STOP) | C(SUBORD),
     "when while as after before if since because though although until unless whenever where wherever whereas"},
    {"en", C(STOP),
     "and but or nor so yet then now here there thus hence therefore however moreover meanwhile instead still again "
     "also too even just only perhaps maybe never ever always often sometimes soon later suddenly finally "
     "eventually already almost quite rather very much many more most few less least some any no not every either "
     "once neither such same other own who whom whose which what why how whether well yes no oh ah eh hey hello hi "
     "hush alas o ha hmm hm er um ugh aye nay please thank thanks sorry okay ok right good-bye goodbye farewell "
     "welcome indeed surely certainly really truly first second third last next once twice together alone away back "
     "forth home today tomorrow yesterday tonight me us them myself yourself themselves ourselves itself thee thou "
     "ye thyself let come go look listen wait stop see do does don't didn't doesn't can can't cannot could couldn't "
     "may might must shall should shouldn't will would wouldn't won't have has hasn't haven't having is isn't are "
     "aren't am i'm i've i'll i'd you're you've you'll you'd he's he'd he'll she's she'd she'll it's it'd it'll "
     "we're we've we'll we'd they're they've they'll they'd that's there's here's what's who's let's were weren't "
     "be being been did nothing something everything anything nowhere somewhere everywhere anywhere anyone anybody "
     "everyone besides afterwards afterward presently immediately instantly else enough ago apart ahead altogether "
     "likewise otherwise nevertheless nonetheless far near long somehow anyway anyhow meantime none but-- because "
     "although whatever whoever whichever above below forward backward upward downward aloud aside abroad upstairs "
     "downstairs indoors outdoors outside inside one two three four five six seven eight nine ten hundred thousand "
     "both half several which dear my chapter part book prologue epilogue preface volume act scene the end"},
    {"en", C(RELATIVE), "who whom whose which that what how whether"},
    {"en", C(AUX) | C(STOP),
     "had was were has have is did would could should must might will can may does been being be hadn't wasn't "
     "didn't wouldn't couldn't weren't isn't just also only then still now never always at_last even both all once "
     "again quickly slowly softly quietly finally suddenly"},
    {"en", C(VERB),
     "began begun broke brought bent bit blew bore bought bound built burnt came caught chose clung crept cut dealt "
     "dug drew dreamt drank drove ate fell fed felt fought found fled flew forgot froze gave got grew hung heard "
     "held hid hit hurt kept knelt knew laid led leant leapt left lent let lay lit lost made meant met paid put "
     "quit read rode rang rose ran sat saw sent set shook shone shot showed shut sang sank slept slid smelt sped "
     "spent spun split sprang spread stood stole stuck stung strode struck swam swept swung swore took taught tore "
     "threw trod understood woke wore wept won wound wrote went became bowed looks walks turns stands sits runs "
     "takes gives comes goes gets sees feels knows wants needs stares smiles nods sighs shakes leans reaches pulls "
     "pushes opens closes picks puts makes keeps lets starts stops moves steps waits watches listens laughs grins "
     "frowns shrugs glances points waves jumps falls lifts holds drops raises does has is was had"},
    {"en", C(MUTE),
     "voice voices sound sign note letter letters book books words answer reply rest story stories inscription "
     "message telegram song saying proverb poem motto label notice heading title paper papers crowd chorus people "
     "public world everybody echo thing things silence noise knock bell conversation question thought idea fact "
     "nothing something time times day days night nights moment minute hour morning evening afternoon door window "
     "room house street way hand hands eyes eye face head heart mind lips mouth tongue tone smile tears name word "
     "phrase latter former gentlemen ladies men women children girls boys men two three four whole pair company"},
    {"de", C(MUTE), "mal stimme tag abend morgen nacht augenblick wort worte brief zeit"},
    {"fr", C(MUTE), "fois jour voix nuit soir matin moment mot mots lettre temps"},
    {"es", C(MUTE), "vez voz día noche mañana tarde momento palabra palabras carta tiempo"},
    {"it", C(MUTE), "volta voce giorno notte sera mattina momento parola parole lettera tempo"},
    {"pt", C(MUTE), "vez voz dia noite manhã tarde momento palavra palavras carta tempo"},
    {"nl", C(MUTE), "keer stem dag avond ochtend nacht moment woord woorden brief tijd"},
    {"en", C(ADJ),
     "ugly elderly lovely friendly lonely holy silly jolly kindly lively deadly curly burly surly homely cowardly "
     "sickly ghostly early only daily wily bodily smiling laughing young-looking good-looking old-looking grizzled "
     "red-haired bearded aged crooked wicked ragged wretched beloved blessed learned bald-headed one-eyed "
     "frightened tired retired dying weeping trembling travelling wandering limping talking singing flying dancing "
     "sleeping startled puzzled astonished surprised wounded terrified hunted bewitched enchanted drowned married "
     "unmarried spotted striped horned winged stooped bewildered excited delighted disappointed hooded masked "
     "cloaked veiled crippled freckled wizened shrivelled barefooted long-legged giggling grinning scowling "
     "growling first second third fourth fifth elder"},
    {"en", C(MOD), "old little young poor dear good big great sweet honest brave wee tiny wise aged elderly small fat"},
    {"de", C(MOD),
     "alte alter altes kleine kleiner kleines junge junger arme armer liebe lieber gute guter große großer"},
    {"fr", C(MOD),
     "petit petite vieux vieil vieille jeune pauvre bon bonne grand grande gros grosse beau belle cher chère brave"},
    {"es it pt", C(MOD),
     "viejo vieja pequeño pequeña gran buen buena pobre joven vecchio vecchia piccolo piccola grande buon buona "
     "povero povera giovane bella velho velha pequeno pequena bom boa jovem bela anciano anciana"},
    {"en", C(LINK), "of the de du la von van der den di da del le"},
    {"de fr es it pt nl", C(LINK), "von van de du la der den di da del le zu y"},
    {"en", C(NEG),
     "not no never don't didn't doesn't isn't wasn't weren't aren't can't cannot couldn't won't wouldn't shouldn't "
     "hadn't hasn't haven't without nothing nobody none nor neither hardly scarcely barely ain't nowhere n't"},
    {"de", C(NEG), "nicht kein keine keinen keiner keinem nie niemals nichts niemand niemanden ohne kaum weder"},
    {"fr", C(NEG), "ne n' pas jamais rien aucun aucune sans ni"},
    {"es", C(NEG), "no nunca nada jamás sin ni tampoco"},
    {"en", C(NEVER), "never"},
    {"de", C(NEVER), "nie niemals"},
    {"fr", C(NEVER), "jamais"},
    {"es", C(NEVER), "nunca jamás"},
    {"en", C(SO), "so such more"},
    {"de", C(SO), "so"},
    {"fr", C(SO), "si aussi plus tant tellement"},
    {"es", C(SO), "tan más tanto"},
    {"en", C(ONLY), "only just merely simply"},
    {"de", C(ONLY), "nur bloß"},
    {"fr", C(ONLY), "seulement"},
    {"es", C(ONLY), "solo sólo solamente"},
    {"en", C(BELIEVE), "think thinks thought believe believes believed suppose supposes supposed"},
    {"en", C(CLAUSE), "and but because although though while when who which how why if whether until unless where"},
    {"de", C(CLAUSE), "und aber sondern denn weil dass daß als wie wo wer wenn ob"},
    {"fr", C(CLAUSE), "et mais car que qu' qui où quand comme lorsque parce puisque"},
    {"es", C(CLAUSE), "y e pero sino porque que quien cuando como mientras aunque"},
    {"en", C(MORE),
     "very so too extremely terribly awfully dreadfully utterly completely absolutely deeply truly really such most "
     "incredibly exceedingly perfectly quite greatly bitterly more ever all"},
    {"en", C(LESS), "slightly somewhat rather little bit faintly fairly almost vaguely mildly less"},
    {"de", C(MORE), "sehr so ganz völlig überaus furchtbar unendlich zutiefst"},
    {"de", C(LESS), "etwas ein_wenig leicht kaum fast"},
    {"fr", C(MORE), "très si trop tellement bien fort extrêmement"},
    {"fr", C(LESS), "peu presque légèrement"},
    {"es", C(MORE), "muy tan demasiado sumamente completamente"},
    {"es", C(LESS), "poco casi algo"},
    {"en", C(ELISION), "tis twas twere twill em cause til till bout round neath n tween im er ere cept"},
    {"*", C(ABBREV),
     "mr mrs ms messrs mme mlle dr st ste prof rev hon capt col gen lt sgt maj cpl adm sir jr sr fr vs etc e.g i.e "
     "eg ie cf viz no nr vol pp ca approx dept esq gov pres sen rep supt insp bzw usw z.b d.h sra sta dña sr dra hr "
     "fru г гг т.е т.д т.п др пр им"},

    /* ---- Function words of the other languages ---- */
    {"de", C(STOP),
     "und oder aber doch denn da dann nun wenn als weil dass daß ob wie wo was wer warum so auch noch nur schon "
     "sehr nicht ja nein ach oh mit bei von aus nach zu zum zur im in an auf über unter vor hinter neben zwischen "
     "durch für gegen ohne um bis seit war waren ist sind hatte hatten hat habe wird wurde worden kann konnte muss "
     "musste soll sollte will wollte darf durfte mag dich mich ihn ihm uns euch sich du heute morgen gestern hier "
     "dort alles nichts etwas jetzt endlich plötzlich wieder immer nie einmal eines kapitel sobald nachdem während "
     "obwohl darauf danach also"},
    {"de", C(PREP),
     "mit bei von aus nach zu zum zur im in an auf über unter vor hinter neben durch für gegen um am vom ohne"},
    {"fr", C(STOP),
     "et ou mais donc or ni car que qui quoi dont où quand comme si alors puis ensuite enfin aussi encore toujours "
     "jamais déjà bien très trop plus moins pas ne non oui oh ah avec dans sur sous par pour sans chez vers de du "
     "des à au aux en était étaient est sont avait avaient a ont fut eut va peut doit tu te me se lui y c' d' s' n' "
     "qu' m' t' chapitre voici voilà lorsque pendant après avant soudain tout toute tous"},
    {"fr", C(PREP), "avec dans sur sous par pour sans chez vers de du des à au aux en d'"},
    {"es", C(STOP),
     "y e o u pero mas sino porque que quien cuando como si entonces luego después antes también todavía siempre "
     "nunca ya muy más menos no sí oh ah con en sobre por para sin hacia desde hasta de del al a era eran es son "
     "estaba había fue tenía tú te me se le lo les capítulo mientras aunque ahora aquí allí así todo toda qué quién "
     "cómo dónde"},
    {"es", C(PREP), "con en sobre por para sin hacia desde hasta de del al a"},
    {"it", C(STOP),
     "e ed o ma però perché che chi quando come se allora poi dopo prima anche ancora sempre mai già molto più meno "
     "non sì no oh ah con in su per senza verso da di a al del della dal nel era erano è sono aveva fu tu ti mi si "
     "gli capitolo mentre ora qui lì così tutto"},
    {"it", C(PREP), "con in su per senza verso da di a al del della dal nel nella sul sulla"},
    {"pt", C(STOP),
     "e ou mas porque que quem quando como se então depois antes também ainda sempre nunca já muito mais menos não "
     "sim oh ah com em sobre por para sem de do da no na ao era eram é são estava tinha foi tu te me se lhe "
     "capítulo enquanto agora aqui ali assim tudo"},
    {"pt", C(PREP), "com em sobre por para sem de do da no na ao à pelo pela"},
    {"nl", C(STOP),
     "en of maar want dus toen dan als omdat dat wie wat waar wanneer hoe nu ook nog al niet geen ja nee och oh met "
     "bij van uit naar te in aan op over onder voor achter naast door tegen zonder om tot was waren is zijn had "
     "hadden heeft werd kan kon moet moest zal zou wil wilde je jij u me mij hem haar ons zich er hier daar "
     "hoofdstuk weer altijd nooit"},
    {"nl", C(PREP), "met bij van uit naar in aan op over onder voor achter door tegen"},
    {"ru uk", C(STOP),
     "и а но да или же не ни бы ли в во на с со у к ко о об от до из за по под над при для без через между что "
     "чтобы как когда где куда кто какой если то так там тут здесь вот уже ещё еще был была было были есть нет его "
     "её ее им их ему ей мне меня тебя тебе нас вас это этот эта эти тот та те весь всё потом тогда теперь только "
     "очень глава він вона та і й що як але це не на у з до від за коли тоді"},
    {"pl", C(STOP),
     "i a ale lub albo że żeby jak kiedy gdy gdzie kto co czy nie tak no o w we na z ze do od u po pod nad przy dla "
     "bez przez już jeszcze był była było byli jest są się go jej mu ich im mnie ciebie to ten ta te tam tu wtedy "
     "potem teraz tylko bardzo rozdział"},
    {"sv da no", C(STOP),
     "och og men eller att at som när når där der här her inte ikke med på i av af till til för for från fra om "
     "under över over var är er hade havde skulle kunne vill ville sig seg du dig vi ni ja jo nej nei så nu kapitel "
     "kapittel"},

    /* ---- Titles, beings ---- */
    {"*", C(TITLE) | C(MALE) | C(ADULT), "m mr mister messrs sir lord monsieur signor señor senhor herr don baron"},
    {"*", C(TITLE) | C(FEMALE) | C(ADULT),
     "mrs madam madame mme lady dame signora señora senhora frau doña countess duchess baroness mistress"},
    {"*", C(TITLE) | C(FEMALE), "miss ms mlle mademoiselle signorina señorita fräulein"},
    {"*", C(TITLE),
     "dr doc doctor professor prof captain capt major colonel general sergeant lieutenant corporal inspector "
     "detective officer judge reverend rev chief comrade commander admiral constable deputy senator "
     "governor president nurse cousin chancellor st saint"},
    {"en", C(TITLE) | C(MALE) | C(ADULT) | C(PERSON),
     "king prince uncle father brother duke count earl emperor squire farmer grandfather grandpa granddad master pope "
     "dad daddy papa pa"},
    {"en", C(TITLE) | C(FEMALE) | C(ADULT) | C(PERSON),
     "queen princess aunt auntie mother sister empress grandmother grandma granny nana nanny mum mom mummy mommy mama "
     "mamma ma"},
    {"de", C(TITLE) | C(MALE), "könig prinz onkel vater bruder herr meister graf kaiser"},
    {"de", C(TITLE) | C(FEMALE), "königin prinzessin tante mutter schwester frau gräfin"},
    {"en", C(MALE) | C(ADULT) | C(PERSON),
     "man men gentleman fellow husband widower father dad daddy papa pa son-in-law nephew groom bridegroom lad's "
     "monk friar priest wizard sorcerer warlock knight soldier sailor huntsman hunter fisherman woodcutter miller "
     "blacksmith smith tailor shoemaker cobbler carpenter shepherd steward butler footman waiter policeman postman "
     "fireman landlord host chap bloke guy nobleman lord sultan vizier rajah pirate actor hero woodman woodsman "
     "butcher merchant beggarman watchman coachman milkman ploughman salesman businessman foreman chairman "
     "swineherd cowherd goatherd bull ram rooster cock stallion gander drake"},
    {"en", C(FEMALE) | C(ADULT) | C(PERSON),
     "woman women lady wife widow mother mom mum mommy mummy mama mamma ma stepmother step-mother aunt niece bride "
     "nun witch sorceress fairy enchantress goddess maid maidservant housemaid chambermaid housekeeper landlady "
     "hostess governess actress heroine waitress washerwoman fishwife mermaid nymph hen cow ewe mare duchess "
     "girlfriend nurse seamstress shepherdess policewoman businesswoman dowager mistress abbess priestess "
     "noblewoman"},
    {"en", C(MALE) | C(CHILD) | C(PERSON), "boy lad schoolboy laddie son stepson grandson brother"},
    {"en", C(FEMALE) | C(CHILD) | C(PERSON),
     "girl lass lassie schoolgirl maiden daughter stepdaughter granddaughter sister damsel"},
    {"en", C(CHILD) | C(PERSON), "child kid baby infant toddler youngster orphan pupil urchin"},
    {"en", C(CHILD), "little"},
    {"en", C(ADULT), "adult grown-up middle-aged"},
    {"en", C(OLD), "old elderly aged ancient grey-haired white-haired gray-haired wrinkled wizened"},
    {"en", C(OLD) | C(MALE) | C(PERSON), "grandfather grandpa granddad greybeard gaffer"},
    {"en", C(OLD) | C(FEMALE) | C(PERSON), "grandmother grandma granny crone hag grannie nana"},
    {"en", C(PERSON),
     "fox wolf bear lion tiger cat dog mouse rat rabbit hare hedgehog badger mole toad frog owl crow raven eagle "
     "sparrow swallow robin nightingale duck duckling goose gosling swan hen chicken pig donkey ass horse cow sheep "
     "lamb goat kid elephant monkey snake serpent dragon giant dwarf elf goblin troll ogre ghost spirit genie demon "
     "devil angel robot android alien monster beast spider fly bee ant beetle butterfly caterpillar cricket "
     "grasshopper snail worm fish crab whale dolphin turtle tortoise lizard crocodile parrot pigeon dove stork "
     "peacock cuckoo wren squirrel deer stag fawn roe kitten puppy hound stranger traveller traveler guest visitor "
     "neighbour neighbor friend servant cook baker barber gardener teacher schoolmaster tutor student doctor "
     "physician surgeon lawyer clerk officer guard guide driver captain colonel general judge mayor minister bishop "
     "innkeeper shopkeeper keeper thief robber burglar detective inspector sergeant constable prisoner beggar "
     "peasant farmer rider messenger herald minstrel musician singer painter artist poet writer author editor "
     "reporter secretary assistant manager boss chief leader snowman scarecrow puppet doll soldier creature being "
     "person figure pilgrim hermit magician clown juggler cobbler apprentice scholar prophet sage cat bartender "
     "barman barkeep waiter conductor engineer pilot mechanic scientist patient witness stepmother stranger youth "
     "teenager couple parent cousin twin eldest youngest elder younger chancellor courtier ambassador executioner "
     "gatekeeper doorkeeper porter ferryman boatman bird lark finch hatter hare dormouse gryphon griffin unicorn "
     "phoenix sphinx centaur satyr vampire werewolf zombie"},
    {"en", C(VAGUE),
     "man woman girl boy lady gentleman lad lass fellow child youth youngster creature person maiden chap other "
     "speaker"},
    {"de", C(VAGUE), "mann frau mädchen junge knabe kind dame herr alte"},
    {"fr", C(VAGUE), "homme femme fille garçon dame monsieur enfant vieillard"},
    {"es", C(VAGUE), "hombre mujer muchacha muchacho chica chico niña niño señor señora viejo vieja"},
    {"en", C(KIN),
     "father mother brother sister son daughter husband wife uncle aunt cousin nephew niece companion friend host "
     "hostess guest partner master mistress lover fiancé fiancée papa mamma grandfather grandmother guardian "
     "employer "
     "neighbour neighbor visitor hearer mentor"},
    {"de", C(KIN), "vater mutter bruder schwester sohn tochter freund freundin begleiter gastgeber"},
    {"fr", C(KIN), "père mère frère sœur fils mari épouse ami amie oncle tante compagnon"},
    {"es", C(KIN), "padre madre hermano hermana hijo hija marido esposa amigo amiga tío tía compañero"},
    {"de", C(MALE) | C(PERSON),
     "mann könig prinz vater sohn bruder jäger wolf fuchs junge knabe großvater müller bauer schneider soldat hans "
     "bär frosch zwerg riese teufel räuber wirt"},
    {"de", C(FEMALE) | C(PERSON),
     "frau königin prinzessin mutter tochter schwester hexe mädchen großmutter stiefmutter müllerin fee magd"},
    {"de", C(CHILD), "junge knabe mädchen kind kleine kleiner kleines"},
    {"de", C(OLD), "alte alter altes großmutter großvater greis greisin"},
    {"fr", C(MALE) | C(PERSON),
     "homme roi prince père fils frère garçon loup renard ours vieillard grand-père seigneur soldat monsieur chat roi"},
    {"fr", C(FEMALE) | C(PERSON),
     "femme reine princesse mère fille soeur sœur sorcière fée fillette grand-mère dame vieille"},
    {"fr", C(CHILD), "garçon fille fillette enfant petit petite"},
    {"fr", C(OLD), "vieux vieil vieille vieillard grand-mère grand-père"},
    {"es", C(MALE) | C(PERSON),
     "hombre rey príncipe padre hijo hermano niño muchacho chico lobo zorro oso anciano viejo abuelo soldado señor "
     "gato"},
    {"es", C(FEMALE) | C(PERSON),
     "mujer reina princesa madre hija hermana niña muchacha chica bruja hada anciana vieja abuela señora"},
    {"es", C(CHILD), "niño niña chico chica muchacho muchacha pequeño pequeña"},
    {"es", C(OLD), "viejo vieja anciano anciana abuelo abuela"},
    {"it", C(MALE) | C(PERSON),
     "uomo re principe padre figlio fratello ragazzo bambino lupo gatto orso vecchio nonno soldato signore falegname "
     "babbo"},
    {"it", C(FEMALE) | C(PERSON),
     "donna regina principessa madre figlia sorella ragazza bambina volpe strega fata nonna"},
    {"it", C(CHILD), "ragazzo ragazza bambino bambina piccolo piccola"},
    {"it", C(OLD), "vecchio vecchia nonno nonna"},
    {"pt", C(MALE) | C(PERSON),
     "homem rei príncipe pai filho irmão rapaz menino lobo gato urso velho avô soldado senhor"},
    {"pt", C(FEMALE) | C(PERSON), "mulher rainha princesa mãe filha irmã moça menina raposa bruxa fada velha avó"},
    {"pt", C(CHILD), "menino menina criança pequeno pequena"},
    {"pt", C(OLD), "velho velha avô avó"},
    {"nl", C(MALE) | C(PERSON), "man koning prins vader zoon broer jongen wolf vos beer opa grootvader soldaat heer"},
    {"nl", C(FEMALE) | C(PERSON), "vrouw koningin prinses moeder dochter zus meisje heks fee oma grootmoeder"},
    {"nl", C(CHILD), "jongen meisje kind kleine"},
    {"nl", C(OLD), "oude opa oma grootvader grootmoeder"},
    {"sv da no", C(MALE) | C(PERSON),
     "man kung konge prins far fader son bror pojke gutt dreng farfar morfar bestefar"},
    {"sv da no", C(FEMALE) | C(PERSON),
     "kvinna kvinde drottning dronning prinsessa mor moder dotter datter syster flicka flickan pige jente farmor "
     "mormor"},
    {NULL, 0, NULL},
};

static bool speaks(const char *languages, const char *language)
{
    size_t n = strlen(language);
    for (const char *s = languages; (s = strstr(s, language)); s += n)
        if ((s == languages || s[-1] == ' ') && (s[n] == ' ' || s[n] == '\0'))
            return true;
    return languages[0] == '*';
}

/* The next word of a space-separated list, in which _ stands for a space, or AN_NONE behind the last. */
static uint32_t next_word(struct an *an, const char **list)
{
    enum { LEXICON_WORD = 64 };
    char word[LEXICON_WORD];
    size_t n = 0;
    while (**list == ' ')
        (*list)++;
    for (; **list && **list != ' ' && n + 1 < sizeof(word); (*list)++)
        word[n++] = **list == '_' ? ' ' : **list;
    if (n == 0)
        return AN_NONE;
    const char *space = memchr(word, ' ', n);
    if (space)
        an->terms[an_intern(an, word, (size_t)(space - word))].opens_phrase = true;
    return an_intern(an, word, n);
}

static void load_classes(struct an *an, const struct an_lex *table)
{
    for (const struct an_lex *row = table; row->words; row++) {
        if (!speaks(row->languages, an->language))
            continue;
        const char *list = row->words;
        for (uint32_t t; (t = next_word(an, &list)) != AN_NONE;) {
            an->terms[t].classes |= row->classes;
            an->terms[t].known = true;
        }
    }
}

static void load_feelings(struct an *an)
{
    for (const struct an_feeling *row = an_feelings; row->words; row++) {
        if (!speaks(row->languages, an->language))
            continue;
        const char *list = row->words;
        for (uint32_t t; (t = next_word(an, &list)) != AN_NONE;) {
            struct an_term *term = &an->terms[t];
            int slot = term->weight[0] ? 1 : 0;
            if (term->weight[slot])
                continue;
            term->emotion[slot] = (uint8_t)row->emotion;
            term->weight[slot] = (uint8_t)row->weight;
            term->known = true;
        }
    }
}

void an_load_lexicon(struct an *an)
{
    load_classes(an, an_lexicon);
    load_classes(an, an_lexicon_names);
    load_feelings(an);
}
