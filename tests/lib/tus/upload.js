// Brings a file by npm's tus-js-client, as a program of somebody's would.
//
//   node upload.js FILE ENDPOINT TOKEN [ADDRESS]    ADDRESS: goes on with what was begun there
//   NODE_PATH: where tus-js-client is; NODE_EXTRA_CA_CERTS: whom to trust
// It prints "from BYTES" where it begins to send, each time, "done ADDRESS", or "failed WHY".
'use strict';
const fs = require('fs');
const tus = require('tus-js-client');

const [file, endpoint, token, address] = process.argv.slice(2);
const say = (...words) => fs.writeSync(1, words.join(' ') + '\n');

const upload = new tus.Upload(fs.readFileSync(file), {
  endpoint,
  uploadUrl: address,
  headers: {Authorization: `Bearer ${token}`},
  metadata: {filename: 'voice of mine.wav', filetype: 'audio/wav'},
  retryDelays: Array(60).fill(500),
  onBeforeRequest: (request) => {
    if (request.getMethod() === 'PATCH') say('from', request.getHeader('Upload-Offset'));
  },
  onSuccess: () => say('done', upload.url),
  onError: (error) => {
    say('failed', String(error).slice(0, 500));
    process.exitCode = 1;
  },
});
upload.start();
