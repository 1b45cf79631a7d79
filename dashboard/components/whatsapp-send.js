
// <whatsapp-send token="sbct_…">: writes to the one customer the token is for, and shows how far each message got.
// Says `sent` and `statuschange` with the message's id, `tokenexpired` and `refused`.

const SEND = {
  en: {
    to: 'To', message: 'Message', send: 'Send', sending: 'Sending…', open: 'Words are taken until {time}.', closed: 'This customer has not written within 24 hours: only an approved template may be sent, not words.',
    optedOut: 'This customer wants no messages.', notActive: 'The number does not send at the moment.', another: 'Write another', queued: 'On its way', sendingState: 'On its way', sent: 'Sent', delivered: 'Delivered', read: 'Read',
    played: 'Read', failedState: 'Failed', unknown: 'In doubt: it may have arrived', dead: 'Given up', cancelled: 'Withdrawn', loading: 'One moment…', steps: 'How far the message got',
  },
  es: {
    to: 'Para', message: 'Mensaje', send: 'Enviar', sending: 'Enviando…', open: 'Se aceptan palabras hasta las {time}.', closed: 'Este cliente no ha escrito en 24 horas: solo se puede enviar una plantilla aprobada, no palabras.',
    optedOut: 'Este cliente no quiere mensajes.', notActive: 'El número no envía en este momento.', another: 'Escribir otro', queued: 'En camino', sendingState: 'En camino', sent: 'Enviado', delivered: 'Entregado', read: 'Leído',
    played: 'Leído', failedState: 'Falló', unknown: 'En duda: puede haber llegado', dead: 'Abandonado', cancelled: 'Retirado', loading: 'Un momento…', steps: 'Hasta dónde llegó el mensaje',
  },
  fa: {
    to: 'به', message: 'پیام', send: 'ارسال', sending: 'در حال ارسال…', open: 'تا ساعت {time} می‌توان نوشت.', closed: 'این مشتری در ۲۴ ساعت گذشته ننوشته است: فقط قالب تأییدشده فرستاده می‌شود.',
    optedOut: 'این مشتری پیامی نمی‌خواهد.', notActive: 'این شماره اکنون نمی‌فرستد.', another: 'پیام دیگر', queued: 'در راه', sendingState: 'در راه', sent: 'ارسال شد', delivered: 'تحویل شد', read: 'خوانده شد',
    played: 'خوانده شد', failedState: 'ناموفق', unknown: 'نامعلوم: شاید رسیده باشد', dead: 'رها شد', cancelled: 'پس گرفته شد', loading: 'یک لحظه…', steps: 'پیام تا کجا رفت',
  },
};
const SETTLED = ['read', 'played', 'failed', 'unknown', 'dead', 'cancelled'];
const LOST = ['failed', 'unknown', 'dead', 'cancelled'];

class WhatsappSend extends SwitchboardElement {
  component = 'send';
  words = SEND;
  refused = null;
  #recipient = null;
  #text = '';
  #key = crypto.randomUUID();
  #busy = false;
  #error = null;
  /** What was written, and how it fares. */
  #sent = null;
  #timer = null;
  #look = null;
  /** Grows when the form is to be made anew. */
  #shownText = 0;

  /** Before another customer. */
  forget() {
    this.#recipient = null;
    this.#text = '';
    this.#key = crypto.randomUUID();
    this.#busy = false;
    this.#error = null;
    this.#sent = null;
    this.#shownText += 1;
  }

  begin() {
    this.refused = null;
    this.draw();
    void this.#meet();
    if (this.#sent) void this.#follow();
  }

  end() {
    clearTimeout(this.#timer);
    clearTimeout(this.#look);
  }

  /** Whether the customer may be written to, now and every half a minute. */
  async #meet() {
    clearTimeout(this.#look);
    const life = this.life;
    try {
      const recipient = await this.call('GET', 'recipient');
      if (life !== this.life) return;
      this.#recipient = recipient;
      if (this.#error?.status === 0) this.#error = null;
    } catch (error) {
      if (life !== this.life || this.refused) return;
      this.#error = error;
    }
    this.draw();
    this.#look = setTimeout(() => void this.#meet(), this.#recipient === null ? 3000 : 30_000);
  }

  async #send() {
    const words = this.#text.trim();
    if (this.#busy || words === '' || this.#recipient?.takes !== 'open') return;
    this.#busy = true;
    this.#error = null;
    this.draw();
    const life = this.life;
    const before = this.#shownText;
    try {
      // The same key for every try of these words: they go out once.
      const { id, status } = await this.call('POST', 'messages', { message: words }, this.#key);
      if (before !== this.#shownText) return;
      this.#sent = { id, status, words };
      this.#text = '';
      this.#key = crypto.randomUUID();
      this.say('sent', { id });
    } catch (error) {
      if (before !== this.#shownText) return;
      if (!this.refused) this.#error = error;
    }
    this.#busy = false;
    if (!this.isConnected || this.refused) return;
    this.draw();
    if (this.#sent && this.#error === null) void this.#follow();
    else void this.#meet();
  }

  async #follow() {
    clearTimeout(this.#timer);
    const life = this.life;
    const { id, status, words } = this.#sent;
    try {
      const fate = await this.call('GET', `messages/${id}`);
      if (life !== this.life || this.#sent?.id !== id) return;
      this.#sent = { ...fate, words };
      if (fate.status !== status) this.say('statuschange', { id, status: fate.status, reason: fate.reason });
      this.draw();
    } catch {
      if (life !== this.life || this.refused) return;
    }
    if (!SETTLED.includes(this.#sent.status)) this.#timer = setTimeout(() => void this.#follow(), 2000);
  }

  sentence(error) {
    const own = { window_closed: 'closed', opted_out: 'optedOut', not_active: 'notActive' }[error.code];
    return own ? this.t(own) : '';
  }

  #state(status) { return this.t({ sending: 'sendingState', failed: 'failedState' }[status] ?? status); }

  draw() {
    if (this.refused) return this.show([this.refusal()]);
    if (this.#recipient === null) return this.show([['words', this.tag, () => make('p', { class: 'quiet', role: 'status' }, this.t('loading'))], this.note(this.#error)]);
    this.show([this.#whom(), ...(this.#sent === null ? this.#form() : this.#fate()), this.note(this.#error)]);
  }

  #whom() {
    const { name, phone } = this.#recipient;
    return ['whom', `${this.tag}${name}${phone}`, () => make('p', {}, `${this.t('to')} `, name ? make('strong', {}, make('bdi', {}, name)) : null, name && phone ? ' · ' : null, phone ? make('bdi', { dir: 'ltr' }, `+${phone}`) : null)];
  }

  #form() {
    const { takes, windowUntil } = this.#recipient;
    const off = this.#busy || takes !== 'open';
    const words = takes === 'open' ? (windowUntil ? this.t('open', { time: this.time(windowUntil) }) : '') : this.t({ closed: 'closed', opted_out: 'optedOut' }[takes] ?? 'notActive');
    return [
      words === '' ? null : ['window', words, () => make('p', { class: takes === 'open' ? 'quiet' : 'note', role: 'status' }, words)],
      takes !== 'open' ? null : ['form', `${this.tag}${this.#shownText}`, () => make('form', { onsubmit: (event) => { event.preventDefault(); void this.#send(); } },
        make('label', {}, this.t('message'), make('textarea', {
          rows: 3, maxlength: 4096, dir: 'auto', value: this.#text, oninput: (event) => { this.#text = event.target.value; },
          onkeydown: (event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); void this.#send(); } },
        })))],
      takes !== 'open' ? null : ['send', `${this.tag}${off}`, () => make('div', { class: 'row' }, make('button', { type: 'button', 'aria-disabled': off ? 'true' : undefined, onclick: () => void this.#send() }, this.t(this.#busy ? 'sending' : 'send')))],
    ];
  }

  #fate() {
    const { status, words, advice } = this.#sent;
    const lost = LOST.includes(status);
    return [
      ['bubble', words, () => make('div', { class: 'bubble', dir: 'auto' }, words)],
      ['state', `${this.tag}${status}`, () => make('p', { class: lost ? 'note' : 'title', role: 'status', 'data-status': status, 'aria-label': `${this.t('steps')}: ${this.#state(status)}` }, this.#state(status))],
      lost && advice ? ['advice', advice, () => make('p', { class: 'quiet' }, advice)] : null,
      ['another', this.tag, () => make('div', { class: 'row' }, make('button', { type: 'button', class: 'plain', onclick: () => this.#anew() }, this.t('another')))],
    ];
  }

  #anew() {
    clearTimeout(this.#timer);
    this.#sent = null;
    this.#error = null;
    this.draw();
    this.shadowRoot.querySelector('textarea')?.focus();
    void this.#meet();
  }
}

customElements.define('whatsapp-send', WhatsappSend);
