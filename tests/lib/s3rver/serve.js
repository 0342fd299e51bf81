// s3rver behind a door that lets in what is rightly signed, by the signer of Amazon's own SDK: s3rver keeps to the
// protocol, but does not look at signatures of version 4. One bucket: stories; its keys are s3rver's.
//
//   NODE_PATH=MODULES node tests/lib/s3rver/serve.js DIR     prints its port, serves until it is killed
const http = require('http');
const {createHash, createHmac} = require('crypto');
const S3rver = require('s3rver');
const {SignatureV4} = require('@smithy/signature-v4');

const KEY = 'S3RVER', REGION = 'us-east-1', PAYLOAD = 'x-amz-content-sha256';

class Sha256 {
  constructor(secret) { this.hash = secret ? createHmac('sha256', secret) : createHash('sha256'); }
  update(data) { this.hash.update(data); }
  async digest() { return new Uint8Array(this.hash.digest()); }
}

const signer = new SignatureV4({service: 's3', region: REGION, credentials: {accessKeyId: KEY, secretAccessKey: KEY}, sha256: Sha256,
  uriEscapePath: false, applyChecksum: false});

const date = (text) => new Date(text.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'));

// Is it signed as Amazon's own client would have signed it, and is the body what is signed?
async function isSigned(request, body) {
  const url = new URL(request.url, 'http://' + request.headers.host), query = Object.fromEntries(url.searchParams);
  const made = {method: request.method, protocol: 'http:', hostname: url.hostname, path: url.pathname, query, headers: {host: request.headers.host}};
  if (query['X-Amz-Signature']) {
    for (const name of Object.keys(query))
      if (name.startsWith('X-Amz-'))
        delete query[name];
    made.headers[PAYLOAD] = 'UNSIGNED-PAYLOAD';
    const given = url.searchParams, bare = new Set([PAYLOAD]);
    const right = await signer.presign(made, {expiresIn: +given.get('X-Amz-Expires'), signingDate: date(given.get('X-Amz-Date')), unsignableHeaders: bare, unhoistableHeaders: bare});
    return right.query['X-Amz-Signature'] === given.get('X-Amz-Signature');
  }
  const [, signed] = /SignedHeaders=([^,]+)/.exec(request.headers.authorization) || [];
  if (!signed || createHash('sha256').update(body).digest('hex') !== request.headers[PAYLOAD])
    return false;
  for (const name of signed.split(';'))
    made.headers[name] = request.headers[name];
  const right = await signer.sign(made, {signingDate: date(request.headers['x-amz-date']), signableHeaders: new Set(signed.split(';'))});
  return right.headers.authorization.replace(/ /g, '') === request.headers.authorization.replace(/ /g, '');
}

function refuse(response) {
  response.writeHead(403, {'Content-Type': 'application/xml'});
  response.end('<Error><Code>SignatureDoesNotMatch</Code></Error>');
}

async function open(request, response, port) {
  const chunks = [];
  for await (const chunk of request)
    chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!await isSigned(request, body).catch(() => false))
    return refuse(response);
  const behind = http.request({port, method: request.method, path: request.url, headers: request.headers}, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  behind.end(body);
}

new S3rver({port: 0, address: '127.0.0.1', silent: true, directory: process.argv[2], configureBuckets: [{name: 'stories'}]}).run((error, {port}) => {
  const door = http.createServer((request, response) => open(request, response, port));
  door.listen(0, '127.0.0.1', () => console.log(door.address().port));
});
