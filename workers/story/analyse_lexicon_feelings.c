/* Words that express the eight basic emotions, with their strength in tenths. Inflected forms are found by their stem.
 */
#include "story/analyse_int.h"

const struct an_feeling an_feelings[] = {
    /* ---- English: joy ---- */
    {"en", ST_JOY, 10,
     "joy joyful joyous overjoyed delight delighted delightful ecstatic ecstasy elated elation euphoric bliss "
     "blissful jubilant jubilation rapture rapturous exult exultant thrilled hurrah hooray hurray yippee yay woohoo "
     "bravo laughed_aloud laughed_with heart_leapt heart_leaped heart_soared danced_for jumped_for "
     "burst_out_laughing for_joy with_joy with_delight with_laughter happily_ever"},
    {"en", ST_JOY, 8,
     "happy happily happiness happier happiest laugh laughter laughing merry merrily merriment cheer cheerful "
     "cheerfully cheerfulness glad gladly gladness gleeful gleefully glee giggle chuckle rejoice triumphant "
     "triumphantly triumph celebrate celebration beam beamed beaming radiant wonderful marvellous marvelous "
     "fantastic glorious gloriously splendid hilarious jolly jollity mirth festive bless blessed paradise sang_with "
     "dancing_with"},
    {"en", ST_JOY, 6,
     "smile smiling smiled grin grinned enjoy enjoyed enjoyment pleased pleasure pleasant fun funny amused amusing "
     "amusement lovely beautiful beautifully beauty bright brightly sunny sunshine sparkle sparkling twinkle "
     "twinkled play played playful playfully dance dancing danced sing sang singing song whistled hum hummed "
     "excellent perfect brilliant awesome amazing good-humoured lively jest joke joked feast holiday party wedding "
     "victory won congratulations lucky luck success succeeded delicious treat sweet sweetly charming charmed proud "
     "proudly pride carefree contented content contentedly satisfied satisfaction lighthearted light-hearted"},
    {"en", ST_JOY, 4,
     "nice gentle_smile good_news kiss kissed hug hugged embrace embraced gift present birthday flowers blossom "
     "spring warm warmly warmth comfort comfortable relief relieved glow glowing glowed shining shone peaceful "
     "eager glitter"},
    /* ---- English: sadness ---- */
    {"en", ST_SADNESS, 10,
     "sob sobbed sobbing sobs wept weep weeping weeps grief grieve grieved grieving sorrow sorrowful sorrowfully "
     "heartbroken heartbreak heart-broken despair despairing despaired mourn mourned mourning mournful anguish "
     "anguished misery miserable miserably wretched tears tearful tearfully in_tears burst_into_tears into_tears "
     "heart_sank heart_broke heart_sink heart_sinking broken_heart broke_her_heart cried_bitterly wept_bitterly "
     "bitter_tears devastated inconsolable bereft"},
    {"en", ST_SADNESS, 8,
     "sad sadly sadness saddened unhappy unhappily unhappiness depressed depression gloomy gloom melancholy lonely "
     "loneliness lonesome lament lamented wail wailed wailing whimper whimpered bereaved funeral grave coffin "
     "hopeless hopelessly hopelessness dejected despondent downcast forlorn heavy-hearted heavy_heart crestfallen "
     "tear crying tear-stained snivelled sniffled orphan homesick desolate desolation"},
    {"en", ST_SADNESS, 6,
     "cry cried dead died dies die death dying lost loss lose alone sigh sighed sighing regret regretted regretful "
     "regretfully sorry pity pitied pitiful poor disappointed disappointment disappointing hurt hurts broken miss "
     "missed missing farewell goodbye good-bye abandon abandoned forsaken suffer suffered suffering pain painful "
     "painfully ache ached aching empty emptiness mournfully faded withered buried tomb widow ruin ruined "
     "unfortunate unfortunately alas woe pale_and_sad tragic tragedy bitterly"},
    {"en", ST_SADNESS, 4,
     "tired weary wearily weariness cold dull grey bleak hungry starving starved ill sick weak feeble silence gone "
     "left quiet_voice low_voice gave_up never_again too_late grave_face hung_his_head hung_her_head bowed_his_head "
     "old_and dreary drearily solitary faint faintly lonely_and sank fell_silent shook_her_head shook_his_head"},
    /* ---- English: anger ---- */
    {"en", ST_ANGER, 10,
     "fury furious furiously rage raged raging enraged wrath wrathful wrathfully anger angry angrily angered livid "
     "outraged outrage infuriated incensed in_a_rage with_rage with_fury with_anger clenched_his_fists "
     "clenched_her_fists seething irate how_dare slammed_his_fist slammed_her_fist blood_boiled"},
    {"en", ST_ANGER, 8,
     "hate hated hatred hateful snarl snarled snarling growl growled growling roar roared roaring bellow bellowed "
     "thundered stormed shout_at shouted_at yelled_at scream_at furiously fierce fiercely ferocious savage savagely "
     "vengeance revenge avenge cross crossly mad cursed curse damn damned damnation bastard idiot fool liar traitor "
     "villain scoundrel rascal wretch coward thief murderer glare glared glaring scowl scowled scowling indignant "
     "indignantly indignation resent resented resentment resentful spiteful spite hostile insolent insolence "
     "impudent impudence get_out_of_my shut_up"},
    {"en", ST_ANGER, 6,
     "annoyed annoy annoyance annoying irritated irritably irritation irritable frustrated frustration snap snapped "
     "bark barked hiss hissed spat stamp stamped threaten threatened threat quarrel quarrelled argue argued "
     "argument accuse accused blame blamed scold scolded stupid rude rudely sharp sharply harsh harshly stern "
     "sternly bitter slam slammed smash smashed punch punched slap slapped fight fought attack attacked violent "
     "violently violence clench clenched cruel cruelly grumble grumbled jealous jealousy envy envious offended "
     "insult insulted impatient impatiently gritted fists fist enough_of"},
    {"en", ST_ANGER, 4,
     "frown frowned frowning demand demanded coldly cold_voice stubborn stubbornly defiant defiantly refuse refused "
     "dare dared enemy warned punish punished punishment betrayed unfair unjust nonsense rubbish stop_it leave_me "
     "shout shouted yell yelled red_in cutting bother bothered"},
    /* ---- English: fear ---- */
    {"en", ST_FEAR, 10,
     "terror terrified terrifying terrify horror horrified panic panicked petrified fear feared fearful fearfully "
     "afraid frightened frighten frightening fright scared scare scary dread dreaded dreadful screamed_in "
     "with_terror with_fear in_terror in_fear for_fear heart_pounded heart_pounding heart_hammered blood_ran_cold "
     "blood_froze froze_with trembled_with shook_with nightmare"},
    {"en", ST_FEAR, 8,
     "tremble trembled trembling shiver shivered shivering shudder shuddered shuddering quake quaked quaking quiver "
     "quivered quivering cower cowered cowering alarm alarmed alarming anxious anxiously anxiety worried worry "
     "worrying nervous nervously timid timidly timorous scream screamed screaming shriek shrieked danger dangerous "
     "dangerously peril perilous ghost ghostly haunted ghastly monster monstrous help_me save_me run_for look_out "
     "hide hid hiding flee fled fleeing menace menacing hair_stood goosebumps pale_with white_with white_as"},
    {"en", ST_FEAR, 6,
     "horrible horrid terrible terribly uneasy uneasily uneasiness apprehension apprehensive apprehensively "
     "startled startle threatening sinister ominous eerie creepy howl howled howling demon devil bloody kill killed "
     "murder murdered stab knife sword gun poison poisoned trap trapped escape escaped desperate desperately "
     "desperation freeze froze frozen gasp gasped pale trembling_voice stammer stammered stutter stuttered faltered "
     "hesitated pounding crept creep creeping careful beware victim"},
    {"en", ST_FEAR, 4,
     "dark darkness shadow shadows wolf wolves witch blood storm thunder lightning hush backed_away footsteps "
     "footstep strange stranger unknown cold_sweat whisper whispered doubt uncertain helpless helplessly hunted "
     "hunt chase chased claws teeth fangs grave_danger alone_in deep_in careful_now be_careful don't_go"},
    /* ---- English: surprise ---- */
    {"en", ST_SURPRISE, 10,
     "surprise surprised surprising surprisingly astonish astonished astonishing astonishment amaze amazed "
     "amazement astounded astounding stunned dumbfounded dumfounded thunderstruck flabbergasted in_surprise "
     "with_surprise in_amazement in_astonishment could_not_believe couldn't_believe can't_believe cannot_believe "
     "jaw_dropped eyes_widened"},
    {"en", ST_SURPRISE, 8,
     "unexpected unexpectedly unbelievable incredible incredibly incredulous incredulously gasp gasped gaped gaping "
     "shocked shock shocking bewildered bewilderment speechless startled marvel marvelled marveled wonderstruck "
     "goodness good_heavens good_gracious goodness_gracious my_goodness good_grief good_lord good_god be_damned "
     "dear_me oh_my what_on how_on gosh wow whoa blimey impossible"},
    {"en", ST_SURPRISE, 6,
     "wonder wondering wondered suddenly sudden blinked blink stared stare staring puzzled puzzle puzzling confused "
     "confusion perplexed curious curiously strange strangely miracle miraculous magic magical magically "
     "extraordinary remarkable exclaim exclaimed really wide_eyes wide-eyed raised_his_eyebrows raised_her_eyebrows "
     "all_at_once no_idea you_mean heavens gracious"},
    {"en", ST_SURPRISE, 4,
     "odd oddly queer unusual unheard behold lo vanished disappeared appeared what why_is how_can"},
    /* ---- English: disgust ---- */
    {"en", ST_DISGUST, 10,
     "disgust disgusted disgusting disgustedly revolting revolted repulsive repulsed repugnant nauseating nausea "
     "nauseous loathe loathed loathing loathsome abhor abhorred abhorrent vile yuck ugh eww ew sickening sickened "
     "vomit vomited wrinkled_her_nose wrinkled_his_nose"},
    {"en", ST_DISGUST, 8,
     "filthy filth stink stinking stank stench rotten rotting foul foully nasty slimy slime putrid maggots gross "
     "contempt contemptuous contemptuously scorn scorned scornful scornfully despise despised despicable detest "
     "detested detestable sneer sneered sneering odious obscene ugliness hideous retched gagged"},
    {"en", ST_DISGUST, 6,
     "ugly dirty mud muddy smelly reek reeked sour bitter_taste grimace grimaced winced shameful shame ashamed "
     "disdain disdainful disdainfully distaste dislike disliked mouldy moldy greasy sticky rats vermin toad worms "
     "slug spit horrid_smell unclean"},
    /* ---- English: trust ---- */
    {"en", ST_TRUST, 10,
     "trust trusted trusting trustworthy faithful faithfully loyal loyally loyalty devoted devotion beloved i_love "
     "love_you loved_her loved_him loved_you"},
    {"en", ST_TRUST, 8,
     "love loved loving lovingly adore adored affection affectionate affectionately tender tenderly tenderness "
     "faith friendship promise promised promises vow vowed swear_to depend rely reliable grateful gratefully "
     "gratitude thankful forgive forgave forgiven forgiveness honest honestly honesty kind kindly kindness "
     "kind-hearted thank thanks reassured reassuring reassuringly reassure soothe soothed soothing soothingly"},
    {"en", ST_TRUST, 6,
     "friend friends friendly dear dearest darling gentle gently help helped helpful protect protected safe safely "
     "safety comforted comforting care cared caring believe believed belief respect respected admire admired "
     "admiration loveliest brave bravely bravery courage courageous confident confidently confidence calm calmly "
     "calmed patient patiently sincere sincerely true truly honour honor honourable noble nobly mercy merciful "
     "guard guarded welcome you_are_safe don't_worry all_right we'll_be together"},
    {"en", ST_TRUST, 4,
     "agree agreed nodded share shared guide guided wise wisely advice steady steadily hand_in_hand "
     "follow_me of_course certainly yes"},
    /* ---- English: anticipation ---- */
    {"en", ST_ANTICIPATION, 10,
     "anticipation anticipate anticipated eager eagerly eagerness excited excitedly excitement exciting can't_wait "
     "could_hardly_wait look_forward looking_forward looked_forward"},
    {"en", ST_ANTICIPATION, 8,
     "hope hoped hopeful hopefully hopes hoping expect expected expectation expectant expectantly await awaited "
     "longing longed yearn yearned yearning adventure impatient impatience tomorrow_we soon_we ready_to about_to "
     "suspense curiosity"},
    {"en", ST_ANTICIPATION, 6,
     "wait waited waiting plan planned prepare prepared preparation ready soon hurry hurried quick quickly journey "
     "quest search searched searching seek sought set_out set_off decide decided determined determination resolve "
     "resolved intend intended dream dreamed dreamt wish wished wishes promise_to explore begin imagine imagined "
     "follow secret mystery clue treasure come_on let's_go let_us come_with"},
    {"en", ST_ANTICIPATION, 4,
     "tomorrow someday future watch watched listened listen watching listening almost next curious perhaps maybe "
     "shall_we let's wonder_if"},
    /* ---- German ---- */
    {"de", ST_JOY, 9,
     "freude freudig froh fröhlich glücklich glück lachen lachte lachend lacht jubel jubelte jubeln heiter lustig "
     "vergnügt vergnügen begeistert selig entzückt strahlte strahlend jauchzte juchhe hurra"},
    {"de", ST_JOY, 6,
     "lächeln lächelte schön wunderbar herrlich freute freuen freut fest tanzen tanzte sang singen gefiel"},
    {"de", ST_SADNESS, 9,
     "traurig trauer trauern weinen weinte weinend weint tränen träne schluchzte schluchzen kummer verzweifelt "
     "verzweiflung elend jammer jammerte unglücklich leid klagte einsam wehmütig gram betrübt untröstlich"},
    {"de", ST_SADNESS, 6,
     "tot tod starb gestorben sterben verloren allein arm arme seufzte seufzen schmerz leider ach grab müde"},
    {"de", ST_ANGER, 9,
     "zorn zornig wut wütend wütete böse ärger ärgerlich ärgerte erzürnt grimmig grimm hass haßte hasste brüllte "
     "schimpfte schimpfen verflucht verdammt empört rasend tobte tobend"},
    {"de", ST_ANGER, 6,
     "streit stritt schlug drohte knurrte barsch schalt verräter dieb lügner strafe fauchte zischte schrie"},
    {"de", ST_FEAR, 9,
     "angst ängstlich fürchtete fürchten furcht furchtbar erschrak erschrocken erschrecken schreck schrecken "
     "schrecklich entsetzt entsetzen zitterte zittern zitternd grauen panik bang bange gruselig fürchterlich"},
    {"de", ST_FEAR, 6,
     "gefahr gefährlich dunkel finster finsternis floh fliehen hilfe bebte bleich wolf gespenst unheimlich"},
    {"de", ST_SURPRISE, 9,
     "überrascht überraschung erstaunt erstaunen staunte staunen verwundert wunderte verblüfft unglaublich "
     "verwunderung"},
    {"de", ST_SURPRISE, 6, "plötzlich seltsam sonderbar wunder merkwürdig unerwartet"},
    {"de", ST_DISGUST, 9, "ekel eklig ekelhaft abscheu abscheulich widerlich pfui scheußlich verabscheute gräßlich"},
    {"de", ST_DISGUST, 6, "garstig hässlich häßlich schmutzig stank gestank faul verachtung verächtlich"},
    {"de", ST_TRUST, 8,
     "vertrauen vertraute liebe liebte lieben lieb treu treue zärtlich freundlich freund freundin dankbar danke "
     "versprach versprechen"},
    {"de", ST_ANTICIPATION, 8,
     "hoffnung hoffte hoffen hoffentlich sehnsucht sehnte erwartung erwartete gespannt ungeduldig neugierig neugier"},
    {"de", ST_ANTICIPATION, 5, "bald wartete warten bereit morgen wünschte wunsch reise abenteuer"},
    /* ---- French ---- */
    {"fr", ST_JOY, 9,
     "joie joyeux joyeuse joyeusement heureux heureuse bonheur rire rires riant ravi ravie gai gaie gaiement gaieté "
     "enchanté enchantée hourra éclata_de_rire allégresse"},
    {"fr", ST_JOY, 6,
     "sourire souriant sourit content contente plaisir beau belle fête chanter chanta danser dansa merveilleux rit"},
    {"fr", ST_SADNESS, 9,
     "triste tristement tristesse pleurer pleura pleurait pleurant pleurs larmes larme sanglots sanglota sanglotait "
     "chagrin désespoir désespéré malheureux malheureuse malheur douleur mélancolie deuil"},
    {"fr", ST_SADNESS, 6, "mort morte mourir mourut perdu perdue seul seule soupira hélas pauvre regret adieu"},
    {"fr", ST_ANGER, 9,
     "colère furieux furieuse rage fureur fâché fâchée haine haïr irrité irritée enragé hurla hurlait maudit indigné"},
    {"fr", ST_ANGER, 6, "cria méchant méchante gronda frappa menaça menace ennemi traître voleur punir"},
    {"fr", ST_FEAR, 9,
     "peur effrayé effrayée effroi terreur terrifié terrifiée épouvante épouvanté crainte craignait tremblait "
     "tremblant trembla angoisse horreur affreux affreuse frisson frissonna panique"},
    {"fr", ST_FEAR, 6, "danger dangereux noir nuit ombre sombre inquiet inquiète fuir fuit secours loup sorcière"},
    {"fr", ST_SURPRISE, 9, "surprise surpris étonné étonnée étonnement stupéfait stupéfaite stupeur incroyable ébahi"},
    {"fr", ST_SURPRISE, 6, "soudain étrange bizarre merveille extraordinaire"},
    {"fr", ST_DISGUST, 9, "dégoût dégoûtant dégoûté répugnant horrible laid laide immonde écoeurant mépris pouah"},
    {"fr", ST_TRUST, 8,
     "confiance amour aimer aimait aime ami amie amitié tendre tendrement fidèle gentil gentille merci bonté"},
    {"fr", ST_ANTICIPATION, 8,
     "espoir espérer espérait espère attendre attendait impatient impatience curieux curieuse curiosité"},
    /* ---- Spanish ---- */
    {"es", ST_JOY, 9,
     "alegría alegre alegremente feliz felices felicidad felizmente contento contenta risa risas reír rió riendo "
     "gozo dichoso júbilo encantado encantada hurra"},
    {"es", ST_JOY, 6,
     "sonrisa sonrió sonriendo hermoso hermosa maravilloso fiesta cantar cantó bailar bailó placer bonito"},
    {"es", ST_SADNESS, 9,
     "triste tristemente tristeza llorar lloró lloraba llorando llanto lágrimas lágrima sollozó sollozos pena dolor "
     "desesperación desesperado desgraciado desgracia infeliz melancolía luto"},
    {"es", ST_SADNESS, 6, "muerto muerta muerte morir murió perdido perdida solo sola suspiró ay pobre adiós"},
    {"es", ST_ANGER, 9,
     "ira rabia furioso furiosa furia enojo enojado enojada enfadado enfadada cólera odio odiaba maldito maldita "
     "indignado rugió"},
    {"es", ST_ANGER, 6, "gritó malvado malvada amenazó amenaza enemigo traidor ladrón golpeó castigo gruñó"},
    {"es", ST_FEAR, 9,
     "miedo asustado asustada asustó temor temía terror aterrado aterrada horror espanto espantado temblaba "
     "temblando tembló pánico angustia horrible"},
    {"es", ST_FEAR, 6, "peligro peligroso oscuro oscuridad noche sombra huyó huir socorro bruja lobo inquieto"},
    {"es", ST_SURPRISE, 9,
     "sorpresa sorprendido sorprendida asombro asombrado asombrada increíble atónito estupefacto"},
    {"es", ST_SURPRISE, 6, "repente extraño extraña súbito maravilla"},
    {"es", ST_DISGUST, 9, "asco asqueroso repugnante repugnancia desprecio feo fea inmundo"},
    {"es", ST_TRUST, 8,
     "confianza amor amar amaba amigo amiga amistad querido querida fiel gracias bondad cariño ternura"},
    {"es", ST_ANTICIPATION, 8, "esperanza esperaba esperar ansioso ansiosa impaciente curioso curiosa curiosidad"},
    {NULL, ST_NEUTRAL, 0, NULL},
};
