// Renders /openapi.json: operations by service, with parameters, bodies, answers, permissions and limits.
// Text enters the page only as text nodes, never as HTML.
'use strict';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const FIRST = ['identity', 'story', 'narration', 'video', 'collaboration']; // the way of a story; others follow
const MAX_DEPTH = 8; // of nested schemas, where one contains itself

const byId = (id) => document.getElementById(id);

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

// --- the document -------------------------------------------------------------------------------------------------

let api;

function deref(value) {
  const extra = { ...value };
  let target = value;
  for (let i = 0; target && target.$ref && i < MAX_DEPTH; i++) {
    target = target.$ref.slice(2).split('/').reduce(
      (at, key) => at && at[decodeURIComponent(key).replaceAll('~1', '/').replaceAll('~0', '~')], api);
  }
  delete extra.$ref;
  return { ...target, ...extra };
}

function operationsByService() {
  const services = new Map();
  for (const [path, item] of Object.entries(api.paths || {})) {
    for (const method of METHODS) {
      if (!item[method]) continue;
      const operation = { ...item[method], method, path };
      operation.parameters = [...(item.parameters || []), ...(item[method].parameters || [])].map(deref);
      const service = operation['x-service'] || 'other';
      if (!services.has(service)) services.set(service, []);
      services.get(service).push(operation);
    }
  }
  const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...services].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

// --- schemas ------------------------------------------------------------------------------------------------------

const isType = (schema, type) => [].concat(schema.type || []).includes(type);

function kindOf(schema) {
  if ('const' in schema) return JSON.stringify(schema.const);
  if (isType(schema, 'array') && schema.items) return `list of ${kindOf(deref(schema.items))}s`;
  const types = [].concat(schema.type || (schema.enum ? 'string' : schema.properties ? 'object' : 'any'));
  const named = types.map((type) => (type === 'string' && schema.format ? schema.format : type));
  return named.join(' or ');
}

function span(low, high, unit) {
  const text = (n) => n.toLocaleString('en');
  if (low != null && high != null) return `${text(low)} to ${text(high)}${unit}`;
  if (low != null) return `at least ${text(low)}${unit}`;
  return high != null ? `at most ${text(high)}${unit}` : null;
}

// What a value must be beyond its type, in words.
function rulesOf(schema) {
  const rules = [
    schema.enum && 'one of ' + schema.enum.map(String).join(', '),
    span(schema.minLength, schema.maxLength, ' characters'),
    span(schema.minimum, schema.maximum, ''),
    span(schema.minItems, schema.maxItems, ' items'),
    span(schema.minProperties, schema.maxProperties, ' members'),
    schema.uniqueItems && 'no item twice',
    schema['x-message'] || (schema.pattern && 'matches ' + schema.pattern),
    'default' in schema && 'default ' + JSON.stringify(schema.default),
    schema.examples && 'example ' + JSON.stringify(schema.examples[0]),
  ];
  return rules.concat((schema.allOf || []).flatMap((part) => rulesOf(deref(part)))).filter(Boolean);
}

function field(name, schema, required, depth) {
  const rules = rulesOf(schema);
  const items = isType(schema, 'array') && schema.items ? deref(schema.items) : null;
  const itemRules = items && !items.properties ? rulesOf(items) : [];
  return el('li', null,
    el('span', { class: 'key' }, name),
    el('span', { class: 'kind' }, kindOf(schema)),
    required && el('span', { class: 'must' }, 'required'),
    schema.description && el('p', { class: 'note' }, schema.description),
    rules.length > 0 && el('p', { class: 'rules' }, rules.join(' · ')),
    itemRules.length > 0 && el('p', { class: 'rules' }, 'each: ' + itemRules.join(' · ')),
    fieldsOf(items || schema, depth + 1));
}

// The members of an object schema; null for anything else.
function fieldsOf(schema, depth) {
  if (depth > MAX_DEPTH) return null;
  const rows = Object.entries(schema.properties || {}).map(([name, member]) =>
    field(name, deref(member), (schema.required || []).includes(name), depth));
  if (schema.additionalProperties && typeof schema.additionalProperties === 'object')
    rows.push(field('(any name)', deref(schema.additionalProperties), false, depth));
  return rows.length > 0 ? el('ul', { class: 'fields' }, rows) : null;
}

function schemaView(schema) {
  const resolved = deref(schema);
  const items = isType(resolved, 'array') && resolved.items ? deref(resolved.items) : resolved;
  return fieldsOf(items, 0) || el('p', { class: 'type' }, [kindOf(resolved), ...rulesOf(resolved)].join(' · '));
}

// A small valid-looking value, for the examples.
function sample(schema, depth = 0) {
  const s = deref(schema);
  if (s.examples) return s.examples[0];
  if ('default' in s) return s.default;
  if ('const' in s) return s.const;
  if (s.enum) return s.enum[0];
  if (isType(s, 'object') && depth < MAX_DEPTH) {
    const names = (s.required || Object.keys(s.properties || {}).slice(0, 1)).filter((name) => s.properties[name]);
    return Object.fromEntries(names.map((name) => [name, sample(s.properties[name], depth + 1)]));
  }
  if (isType(s, 'array')) return s.items ? [sample(s.items, depth + 1)] : [];
  if (isType(s, 'integer') || isType(s, 'number')) return s.minimum || 0;
  if (isType(s, 'boolean')) return true;
  return '…';
}

// --- one operation ------------------------------------------------------------------------------------------------

function rateText(rate) {
  const [count, period] = String(rate).split('/');
  return `${count} per ${(period || '').replace(/^1(?=[a-z])/, '').replace(/^(\d+)/, '$1 ')}`
    .replace(/ ms$/, ' millisecond').replace(/ s$/, ' second').replace(/ m$/, ' minute').replace(/ h$/, ' hour')
    .replace(/ d$/, ' day');
}

function limitText(limit) {
  const tiers = Object.entries(limit.tiers || {}).map(([tier, rate]) => `${tier}: ${rateText(rate)}`);
  const burst = limit.burst ? `, ${limit.burst} at once` : '';
  return `${rateText(limit.rate)} and ${limit.by}${burst}` + (tiers.length ? ` (${tiers.join(', ')})` : '');
}

function factsOf(operation) {
  const security = operation.security || api.security || [];
  const permissions = security.flatMap((scheme) => Object.values(scheme).flat());
  return el('ul', { class: 'facts' },
    security.length === 0 ? el('li', { class: 'open' }, 'no token needed')
      : permissions.length === 0 ? el('li', null, 'any valid token')
        : permissions.map((name) => el('li', null, 'permission ', el('code', null, name))),
    (operation['x-rate-limit'] || []).map((limit) => el('li', null, limitText(limit))),
    operation['x-body-max'] && el('li', null, `body up to ${operation['x-body-max']}`),
    operation['x-idempotency'] && el('li', null, 'Idempotency-Key required'),
    operation['x-sunset'] && el('li', null, `goes away on ${operation['x-sunset']}`));
}

function bodySchema(operation) {
  const body = operation.requestBody && deref(operation.requestBody);
  return body && body.content && body.content['application/json'] && body.content['application/json'].schema;
}

function curlFor(operation) {
  const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
  const schema = bodySchema(operation);
  const method = operation.method.toUpperCase();
  const lines = [`curl ${method === 'GET' || (method === 'POST' && schema) ? '' : `-X ${method} `}` +
    quote(location.origin + operation.path)];
  if ((operation.security || []).length > 0) lines.push('-H "Authorization: Bearer $TOKEN"');
  for (const parameter of operation.parameters)
    if (parameter.in === 'header' && parameter.name === 'If-Match') lines.push(`-H 'If-Match: "1"'`);
  if (schema) lines.push("-H 'Content-Type: application/json'", '-d ' + quote(JSON.stringify(sample(schema))));
  return lines.join(' \\\n     ');
}

function responseView([status, value]) {
  const response = deref(value);
  const content = Object.entries(response.content || {});
  const headers = Object.keys(response.headers || {});
  const schemas = content.filter(([, media]) => media.schema);
  const title = [el('span', { class: 'status' }, status === 'default' ? 'error' : status), response.description || ''];
  const types = content.map(([type]) => type).join(', ');
  const inside = [
    types && el('p', { class: 'type' }, types),
    headers.length > 0 && el('p', { class: 'type' }, 'with ' + headers.join(', ')),
    schemas.slice(0, 1).map(([, media]) => schemaView(media.schema)),
  ].flat().filter(Boolean);
  if (inside.length === 0) return el('div', { class: 'response' }, title);
  return el('details', { class: 'response', open: status.startsWith('2') && schemas.length > 0 },
    el('summary', null, title), el('div', { class: 'inside' }, inside));
}

function operationBody(operation) {
  const schema = bodySchema(operation);
  const parameters = operation.parameters.map((p) => {
    const place = p.in === 'header' ? 'header' : p.in === 'query' ? 'query' : 'path';
    const row = field(p.name, { ...deref(p.schema || {}), description: p.description }, p.required, 0);
    row.querySelector('.kind').append(` in ${place}`);
    return row;
  });
  return el('div', { class: 'body' },
    operation.description && el('p', null, operation.description),
    factsOf(operation),
    parameters.length > 0 && [el('h3', null, 'Parameters'), el('ul', { class: 'fields' }, parameters)],
    schema && [el('h3', null, 'Body'), schemaView(schema)],
    el('h3', null, 'Answers'),
    Object.entries(operation.responses || {}).map(responseView),
    el('h3', null, 'Example'),
    el('pre', { tabindex: '0' }, el('code', null, curlFor(operation))));
}

function pathView(path) {
  return el('span', { class: 'path' }, path.split(/(?=\/)/).flatMap((part) =>
    [el('wbr'), part.startsWith('/{') ? ['/', el('b', null, part.slice(1))] : part].flat()));
}

const methodView = (method) => el('span', { class: `method ${method}` }, method.toUpperCase());

function operationView(operation) {
  const view = el('details', { class: 'operation', id: operation.operationId },
    el('summary', null, methodView(operation.method), pathView(operation.path),
      el('span', { class: 'summary' }, operation.summary || '')));
  // Filled when it is first opened: most never are.
  view.addEventListener('toggle', () => {
    if (view.open && !view.querySelector('.body')) view.append(operationBody(operation));
  });
  view.dataset.words = [operation.operationId, operation.path, operation.summary, operation.method,
    operation['x-service'], JSON.stringify(operation.security || '')].join(' ').toLowerCase();
  return view;
}

// --- the page -----------------------------------------------------------------------------------------------------

function render() {
  const about = new Map((api.tags || []).map((tag) => [tag.name, tag.description]));
  const sections = [];
  const entries = [];
  for (const [service, operations] of operationsByService()) {
    sections.push(el('section', { class: 'service', id: `service-${service}` },
      el('h2', null, service), about.get(service) && el('p', null, about.get(service)),
      operations.map(operationView)));
    entries.push(el('div', null, el('h2', null, service), el('ul', null, operations.map((operation) =>
      el('li', { 'data-for': operation.operationId },
        el('a', { href: `#${operation.operationId}`, title: operation.path }, methodView(operation.method),
          operation.summary || operation.operationId))))));
  }
  byId('services').replaceChildren(...sections);
  byId('nav').replaceChildren(...entries);
}

function applyFilter() {
  const words = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const view of document.querySelectorAll('.operation')) {
    view.hidden = !words.every((word) => view.dataset.words.includes(word));
    shown += !view.hidden;
  }
  for (const entry of document.querySelectorAll('#nav li')) entry.hidden = byId(entry.dataset.for).hidden;
  for (const group of document.querySelectorAll('.service, #nav > div'))
    group.hidden = !group.querySelector('.operation:not([hidden]), li:not([hidden])');
  byId('intro').hidden = words.length > 0;
  byId('none').hidden = shown > 0;
}

function openTarget() {
  const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.matches('details.operation')) target.open = true;
  if (narrow.matches) byId('toc').open = false;
  target.scrollIntoView();
}

function setTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId('theme').textContent = `◐ ${theme}`;
}

const narrow = matchMedia('(max-width: 56rem)');
const THEMES = ['auto', 'light', 'dark'];

function storedTheme() {
  const theme = localStorage.getItem('theme');
  return THEMES.includes(theme) ? theme : 'auto';
}

async function start() {
  setTheme(storedTheme());
  byId('theme').addEventListener('click', () => {
    const next = THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length];
    localStorage.setItem('theme', next);
    setTheme(next);
  });
  const placeToc = () => { byId('toc').open = !narrow.matches; };
  narrow.addEventListener('change', placeToc);
  placeToc();
  try {
    const answer = await fetch('/openapi.json');
    if (!answer.ok) throw new Error(`/openapi.json answered ${answer.status}`);
    api = await answer.json();
    render();
  } catch (error) {
    byId('state').textContent = `The contracts could not be read: ${error.message}. Reload to try again.`;
    byId('state').classList.add('failed');
    return;
  }
  byId('filter').addEventListener('input', applyFilter);
  addEventListener('hashchange', openTarget);
  openTarget();
}

start();
