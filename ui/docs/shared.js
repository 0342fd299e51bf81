// Where a share link leads. Its token stands behind the #, which browsers send to nobody; it goes to the API alone.
'use strict';

const at = id => document.getElementById(id);

function add(kind, text) {
  const block = document.createElement(kind);
  block.dir = 'auto';
  block.textContent = text;
  at('story').append(block);
}

// As text: whatever a story holds, nothing of it becomes markup.
function show(story) {
  document.title = at('title').textContent = story.title;
  at('author').textContent = story.authorName;
  document.documentElement.lang = story.language || '';
  at('story').replaceChildren();
  for (const block of story.content.split(/\n\s*\n/)) {
    const heading = /^#{1,6}\s+/.exec(block);
    add(heading ? 'h2' : 'p', heading ? block.slice(heading[0].length) : block);
  }
}

async function open() {
  const token = location.hash.slice(1);
  const answer = await fetch('/v1/shared-stories', {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({token}),
    credentials: 'omit',
  });
  const body = await answer.json();
  if (answer.ok)
    show(body);
  else
    at('story').textContent = answer.status === 422 ? 'The link is not whole.' : body.detail || body.title;
}

open().catch(() => { at('story').textContent = 'The story cannot be reached now. Try again later.'; });
addEventListener('hashchange', () => location.reload());
