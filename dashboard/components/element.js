// What both components share: a shadow root with their looks, their words, and the way to the server they came from.
// The server puts this before each of them and gives the two as one file.

const STYLE = `
:host { display: block; max-width: 380px; color-scheme: light dark; font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Tahoma, sans-serif;
  --ink: var(--switchboard-color, light-dark(#1b2426, #e8eeee)); --ground: var(--switchboard-background, light-dark(#fff, #171d1f));
  --accent: var(--switchboard-accent, light-dark(#0f6f66, #5cc9bb)); --on-accent: var(--switchboard-on-accent, light-dark(#fff, #06201d));
  --line: var(--switchboard-line, light-dark(#c9d3d3, #414b4f)); --wrong: var(--switchboard-wrong, light-dark(#a3211a, #ffb4ab));
  --quiet: light-dark(#4a5759, #b1bfc1); --corner: var(--switchboard-radius, 10px);
  color: var(--ink); background: var(--ground); border: 1px solid var(--line); border-radius: var(--corner); padding: 16px; box-sizing: border-box; }
:host([theme='light']) { color-scheme: light; }
:host([theme='dark']) { color-scheme: dark; }
:host([hidden]) { display: none; }
* { box-sizing: border-box; }
p { margin: 0 0 8px; overflow-wrap: anywhere; }
p:last-child { margin-bottom: 0; }
button { font: inherit; font-weight: 600; min-height: 40px; padding: 6px 16px; border: 1px solid transparent; border-radius: var(--corner); cursor: pointer;
  color: var(--on-accent); background: var(--accent); }
button.plain { color: var(--ink); background: transparent; border-color: var(--line); }
button.wrong { color: var(--wrong); background: transparent; border-color: var(--wrong); }
button[aria-disabled='true'] { opacity: 0.6; cursor: default; }
button:focus-visible, textarea:focus-visible, input:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.title { font-weight: 650; }
.quiet { color: var(--quiet); font-size: 13px; }
.note { color: var(--wrong); }
.row { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 8px; }
.code { position: relative; width: 100%; max-width: 300px; aspect-ratio: 1; margin: 0 auto 8px; border-radius: var(--corner); overflow: hidden; background: #fff;
  display: grid; place-items: center; color: #3b4648; text-align: center; }
.code svg { display: block; width: 100%; height: 100%; }
.code.stale svg { opacity: 0.15; }
.code .over { position: absolute; inset: auto 12px; font-weight: 600; }
.typed { font: 600 24px/1.2 ui-monospace, monospace; letter-spacing: 0.12em; direction: ltr; text-align: center; }
.good { display: inline-grid; place-items: center; width: 40px; height: 40px; border-radius: 50%; background: var(--accent); color: var(--on-accent); font-size: 22px; }
.sr { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
label { display: block; font-weight: 600; }
textarea, input { display: block; width: 100%; margin-top: 4px; padding: 8px 10px; font: inherit; font-weight: 400; color: var(--ink); background: var(--ground);
  border: 1px solid light-dark(#6d7b7d, #8b9a9c); border-radius: var(--corner); }
textarea { min-height: 84px; resize: vertical; }
.bubble { margin-bottom: 8px; padding: 8px 12px; border: 1px solid var(--line); border-radius: var(--corner); white-space: pre-wrap; overflow-wrap: anywhere; }
@media (prefers-reduced-motion: no-preference) { .good { animation: pop 0.35s ease-out; } }
@keyframes pop { from { transform: scale(0.4); opacity: 0; } }
`;

/** Words both components need. */
const COMMON = {
  en: {
    noToken: 'This page has no permission to show this yet.', expired: 'This page’s permission has ended. Reload the page.', site: 'This may not be shown on this site.',
    gone: 'This is not there any more.', away: 'No answer from the server. Trying again…', failed: 'That did not work.', request: 'Request', tryAgain: 'Try again',
  },
  es: {
    noToken: 'Esta página aún no tiene permiso para mostrar esto.', expired: 'El permiso de esta página ha terminado. Vuelva a cargarla.', site: 'Esto no se puede mostrar en este sitio.',
    gone: 'Esto ya no existe.', away: 'El servidor no responde. Reintentando…', failed: 'No ha funcionado.', request: 'Solicitud', tryAgain: 'Reintentar',
  },
  fa: {
    noToken: 'این صفحه هنوز اجازهٔ نمایش این بخش را ندارد.', expired: 'اجازهٔ این صفحه پایان یافته است. صفحه را دوباره بارگذاری کنید.', site: 'این بخش در این سایت نمایش داده نمی‌شود.',
    gone: 'این دیگر وجود ندارد.', away: 'پاسخی از سرور نیست. دوباره تلاش می‌شود…', failed: 'انجام نشد.', request: 'درخواست', tryAgain: 'تلاش دوباره',
  },
};

const SERVER = new URL(import.meta.url).origin;
const SVG = 'http://www.w3.org/2000/svg';

/** Makes an element; what comes from a server or a customer only ever becomes text. */
function make(name, attributes = {}, ...children) {
  const made = name === 'svg' || name === 'path' ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (key === 'value') made.value = value;
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** What a token says of itself, for a page that cannot ask the server with it. */
function claimsOf(token) {
  try {
    const said = token.slice(token.indexOf('_') + 1, token.indexOf('.')).replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(said), (c) => c.charCodeAt(0))));
  } catch {
    return null;
  }
}

/** An answer that says no, or none at all (`status` 0). */
class Refused extends Error {
  constructor(status, code = '', detail = '', requestId = '') {
    super(detail);
    Object.assign(this, { status, code, requestId });
  }
}

class SwitchboardElement extends HTMLElement {
  static observedAttributes = ['token', 'lang', 'server'];
  #sheet = new CSSStyleSheet();
  #shown = new Map();
  #life = 0;
  #target = null;

  constructor() {
    super();
    this.attachShadow({ mode: 'open', delegatesFocus: true });
    this.#sheet.replaceSync(STYLE);
    this.shadowRoot.adoptedStyleSheets = [this.#sheet];
  }

  connectedCallback() { this.#begin(); }

  disconnectedCallback() { this.#life += 1; this.end(); }

  attributeChangedCallback(name, before, after) {
    if (!this.isConnected || before === after) return;
    if (name === 'lang') return this.draw();
    this.#begin();
  }

  #begin() {
    this.end();
    this.#life += 1;
    const wrong = this.wrongToken();
    if (wrong !== null) return this.refuse(wrong);
    // A token for somebody or something else: nothing of the former is shown, kept or sent. A renewed one goes on.
    const { tenant, account, to, conversation, session } = claimsOf(this.getAttribute('token'));
    const target = JSON.stringify([tenant, account, to, conversation, session, this.getAttribute('server')]);
    if (this.#target !== target) {
      this.#target = target;
      this.forget();
    }
    this.begin();
  }

  /** Grows whenever what was begun before does not count any more. */
  get life() { return this.#life; }

  /** What is wrong with the token, as far as it can be told here; null: nothing. */
  wrongToken() {
    const token = this.getAttribute('token') ?? '';
    if (token === '') return 'noToken';
    const claims = claimsOf(token);
    if (claims === null || claims.component !== this.component) return 'noToken';
    // When it ends is the server's to say: a page's own clock may be wrong.
    return claims.origin === location.origin ? null : 'site';
  }

  get tag() {
    const own = this.getAttribute('lang') || this.closest('[lang]')?.getAttribute('lang') || document.documentElement.lang || 'en';
    const short = own.slice(0, 2).toLowerCase();
    return this.words[short] ? short : 'en';
  }

  /** A word in the element's language, else the page's, else English; `{…}` are filled in. */
  t(key, fill = {}) {
    const words = { ...COMMON.en, ...this.words.en, ...COMMON[this.tag], ...this.words[this.tag] };
    return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => fill[name] ?? '');
  }

  number(value) { return new Intl.NumberFormat(this.tag).format(value); }

  time(at) { return new Intl.DateTimeFormat(this.tag, { hour: '2-digit', minute: '2-digit' }).format(new Date(at)); }

  /** Shows these pieces. A piece whose name and content are as before stays as it is, so that focus and reading are not lost. */
  show(pieces) {
    const root = this.shadowRoot;
    const keep = new Map();
    const nodes = pieces.filter(Boolean).map(([name, key, build]) => {
      const before = this.#shown.get(name);
      const same = before !== undefined && before.key === key;
      const node = same ? before.node : build();
      if (!same && before !== undefined && before.node.contains(root.activeElement)) queueMicrotask(() => (node.matches('button,textarea,input') ? node : node.querySelector('button,textarea,input'))?.focus());
      keep.set(name, { key, node });
      return node;
    });
    this.#shown = keep;
    if (nodes.length !== root.childNodes.length || nodes.some((node, n) => root.childNodes[n] !== node)) root.replaceChildren(...nodes);
    root.host.dir = this.tag === 'fa' ? 'rtl' : 'ltr';
  }

  /** A calm sentence instead of everything else; nothing goes on from here but a new token. */
  refuse(word) {
    this.end();
    this.refused = word;
    this.draw();
    this.say(word === 'expired' ? 'tokenexpired' : 'refused', { reason: word });
  }

  /** The sentence of {@link refuse} as a piece. */
  refusal() { return ['refusal', `${this.tag}${this.refused}`, () => make('p', { class: 'quiet', role: 'status' }, this.t(this.refused))]; }

  /** What went wrong, with the id under which the server's people find it. */
  note(error) {
    if (!error) return null;
    const sentence = error.status === 0 ? this.t('away') : this.sentence?.(error) || error.message || this.t('failed');
    return ['note', sentence + error.requestId, () => make('div', { role: 'alert' },
      make('p', { class: 'note' }, sentence),
      error.requestId ? make('p', { class: 'quiet' }, `${this.t('request')} `, make('bdi', {}, error.requestId)) : null)];
  }

  say(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true })); }

  /** Asks the server with the token alone; throws {@link Refused}, after {@link refuse} where nothing can go on. */
  async call(method, path, body, key) {
    const life = this.#life;
    const token = this.getAttribute('token') ?? '';
    const server = this.getAttribute('server') || SERVER;
    let response;
    try {
      response = await fetch(`${server}/api/v1/components/${claimsOf(token)?.site ?? ''}/${path}`, {
        method, credentials: 'omit', referrerPolicy: 'no-referrer', cache: 'no-store',
        headers: {
          Authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...(key === undefined ? {} : { 'Idempotency-Key': key }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new Refused(0);
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer.data;
    const error = new Refused(response.status, answer.code, answer.detail, answer.request_id ?? response.headers.get('x-request-id') ?? '');
    if (life === this.#life) {
      if (error.status === 401) this.refuse('expired');
      else if (error.code === 'cross_site') this.refuse('site');
      else if (error.status === 404 && path !== 'messages') this.refuse('gone');
    }
    throw error;
  }
}
