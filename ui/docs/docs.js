// Starts the renderer on the contracts of this very server; nothing is asked of another one.
'use strict';

const dark = matchMedia('(prefers-color-scheme: dark)');
const paint = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', paint);
paint();

if (typeof SwaggerUIBundle === 'undefined') {
  document.getElementById('operations').textContent =
    'The renderer was not installed when this was built. The contracts are at /openapi.json.';
} else {
  SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#operations',
    deepLinking: true,
    filter: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    validatorUrl: null, // it would send the contracts elsewhere
    persistAuthorization: false,
    showExtensions: true,
  });
}
