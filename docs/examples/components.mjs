// A CRM with both components in its pages, in one file and without dependencies:
//
//   SWITCHBOARD_URL=http://127.0.0.1:3000 SWITCHBOARD_API_KEY=sb_live_… node docs/examples/components.mjs
//
// The API key stays here, on the server. Pages get tokens, each for one component, for minutes, for this site alone.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';

const page = readFileSync(new URL('components.html', import.meta.url), 'utf8');

const STYLE = `body { margin: 0; font: 16px/1.5 system-ui, sans-serif; background: #f4f1ec; color: #26221d; }
main { max-width: 640px; margin: 0 auto; padding: 24px 16px 64px; }
@media (prefers-color-scheme: dark) { body { background: #14181a; color: #e8eeee; } }`;

// Asks this site's own server for a token, at the start and whenever one has run out; and listens to what is said.
const SCRIPT = `
async function permit(element) {
  const response = await fetch('/token/' + element.localName.slice('whatsapp-'.length) + location.search);
  if (response.ok) element.setAttribute('token', (await response.json()).token);
}
for (const element of document.querySelectorAll('whatsapp-connect, whatsapp-send')) {
  element.addEventListener('tokenexpired', () => permit(element));
  for (const name of ['connected', 'disconnected', 'sent', 'statuschange', 'refused']) {
    element.addEventListener(name, (event) => { document.querySelector('#said').textContent = name + ' ' + JSON.stringify(event.detail); });
  }
  void permit(element);
}`;

/** Serves the pages on a port (0: any free one). `more` goes into each request for a token, by component. */
export function crm({ server, key, port = 0, more = {} }) {
  const answer = (response, status, type, body) => {
    response.writeHead(status, {
      'content-type': type, 'cache-control': 'no-store',
      // As strict as a page can be: no inline script or style, no pictures; scripts and calls go to us and to Switchboard.
      'content-security-policy': `default-src 'none'; script-src 'self' ${server}; connect-src 'self' ${server}; style-src 'self'; base-uri 'none'; require-trusted-types-for 'script'`,
    });
    response.end(body);
  };
  const http = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (pathname === '/') return answer(response, 200, 'text/html; charset=utf-8', page.replaceAll('{{server}}', server));
    if (pathname === '/crm.css') return answer(response, 200, 'text/css', STYLE);
    if (pathname === '/crm.js') return answer(response, 200, 'text/javascript', SCRIPT);
    const component = pathname.match(/^\/token\/(connect|send)$/)?.[1];
    if (component === undefined) return answer(response, 404, 'text/plain', 'There is nothing here.');
    // Here a real CRM looks whether its own user is signed in, and may do this.
    const origin = `http://${request.headers.host}`;
    const made = await fetch(`${server}/api/v1/component-tokens`, {
      method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ component, origin, ...more[component] }),
    });
    const { data, detail } = await made.json();
    return answer(response, made.status, 'application/json', JSON.stringify(made.ok ? { token: data.token } : { detail }));
  });
  return new Promise((resolve) => http.listen(port, '127.0.0.1', () => resolve({ url: `http://127.0.0.1:${http.address().port}`, stop: () => http.close() })));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { SWITCHBOARD_URL: server = 'http://127.0.0.1:3000', SWITCHBOARD_API_KEY: key, TO: to = '15551234567', CHATBOT: chatbotId } = process.env;
  if (!key) throw new Error('SWITCHBOARD_API_KEY is missing: make one at /api-keys, or with `switchboard api-key create`');
  const { url } = await crm({ server, key, port: 8080, more: { send: { to, ...(chatbotId ? { chatbotId } : {}) } } });
  console.log(url);
}
