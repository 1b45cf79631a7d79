
// <whatsapp-connect token="sbct_…">: links a WhatsApp number by QR code, or by a code to type.
// Says `statechange`, `connected`, `disconnected`, `tokenexpired` and `refused`.

const CONNECT = {
  en: {
    title: 'Connect WhatsApp', explain: 'Link your number to answer your customers from here.', begin: 'Connect WhatsApp', beginning: 'Connecting…', preparing: 'Preparing a code…',
    scan: 'Scan this QR code with WhatsApp:', how: 'On the phone: Settings → Linked devices → Link a device.', left: 'New code in {s} s', renewing: 'A new code is coming…',
    again: 'New QR code', cancelled: 'Disconnected', connected: 'Connected', phone: 'Phone:', disconnect: 'Disconnect', sure: 'Disconnect this number?', yes: 'Yes, disconnect', no: 'Keep it',
    noCamera: 'No camera? Link with a code', number: 'The phone’s number, with its country code', getCode: 'Get a code', type: 'On the phone: Linked devices → Link with phone number. Type this code:', back: 'Back to the QR code',
    badNumber: 'Write the number with its country code, for example +1 555 123 4567.', reconnecting: 'Reconnecting…', done: 'WhatsApp is connected.', ended: 'The number is not linked any more.',
  },
  es: {
    title: 'Conectar WhatsApp', explain: 'Vincule su número para responder a sus clientes desde aquí.', begin: 'Conectar WhatsApp', beginning: 'Conectando…', preparing: 'Preparando un código…',
    scan: 'Escanee este código QR con WhatsApp:', how: 'En el teléfono: Ajustes → Dispositivos vinculados → Vincular un dispositivo.', left: 'Código nuevo en {s} s', renewing: 'Llega un código nuevo…',
    again: 'Nuevo código QR', cancelled: 'Desconectado', connected: 'Conectado', phone: 'Teléfono:', disconnect: 'Desconectar', sure: '¿Desconectar este número?', yes: 'Sí, desconectar', no: 'Mantenerlo',
    noCamera: '¿Sin cámara? Vincular con un código', number: 'El número del teléfono, con su código de país', getCode: 'Obtener un código', type: 'En el teléfono: Dispositivos vinculados → Vincular con el número de teléfono. Escriba este código:', back: 'Volver al código QR',
    badNumber: 'Escriba el número con su código de país, por ejemplo +34 600 111 222.', reconnecting: 'Reconectando…', done: 'WhatsApp está conectado.', ended: 'El número ya no está vinculado.',
  },
  fa: {
    title: 'اتصال واتس‌اپ', explain: 'شمارهٔ خود را پیوند دهید تا از همین‌جا به مشتریان پاسخ دهید.', begin: 'اتصال واتس‌اپ', beginning: 'در حال اتصال…', preparing: 'کد در حال آماده شدن است…',
    scan: 'این کد QR را با واتس‌اپ اسکن کنید:', how: 'روی تلفن: تنظیمات ← دستگاه‌های پیوندشده ← پیوند دستگاه.', left: 'کد تازه تا {s} ثانیهٔ دیگر', renewing: 'کد تازه در راه است…',
    again: 'کد QR تازه', cancelled: 'قطع شد', connected: 'متصل', phone: 'تلفن:', disconnect: 'قطع اتصال', sure: 'اتصال این شماره قطع شود؟', yes: 'بله، قطع شود', no: 'بماند',
    noCamera: 'دوربین ندارید؟ پیوند با کد', number: 'شمارهٔ تلفن با کد کشور', getCode: 'دریافت کد', type: 'روی تلفن: دستگاه‌های پیوندشده ← پیوند با شماره تلفن. این کد را وارد کنید:', back: 'بازگشت به کد QR',
    badNumber: 'شماره را با کد کشور بنویسید، مانند ‎+98 912 345 6789‎.', reconnecting: 'اتصال دوباره…', done: 'واتس‌اپ متصل است.', ended: 'این شماره دیگر پیوند ندارد.',
  },
};

class WhatsappConnect extends SwitchboardElement {
  component = 'connect';
  words = CONNECT;
  refused = null;
  #session = null;
  /** The last code there was: it stays until the next one, or until the phone is linked. Never a blank. */
  #code = null;
  #endsAt = 0;
  #timer = null;
  #clock = null;
  #busy = false;
  #error = null;
  #sure = false;
  #typed = null;
  #number = '';
  /** Grows with every other session. */
  #which = 0;

  /** Before another session. */
  forget() {
    this.#session = this.#code = this.#error = this.#typed = null;
    this.#endsAt = 0;
    this.#busy = this.#sure = false;
    this.#number = '';
    this.#which += 1;
  }

  begin() {
    this.refused = null;
    this.draw();
    void this.#ask();
  }

  end() {
    clearTimeout(this.#timer);
    clearInterval(this.#clock);
  }

  async #ask() {
    clearTimeout(this.#timer);
    const life = this.life;
    try {
      const session = await this.call('GET', 'session');
      if (life !== this.life) return;
      if (this.#error?.status === 0) this.#error = null;
      this.#take(session);
    } catch (error) {
      if (life !== this.life || this.refused) return;
      this.#error = error;
      this.draw();
    }
    const rests = this.#session && ['connected', 'disconnected', 'logged_out', 'expired', 'failed'].includes(this.#session.state);
    this.#timer = setTimeout(() => void this.#ask(), rests ? 5000 : Math.max(this.#session?.pollAfterMs ?? 3000, 2000));
  }

  async #command(path, body = {}) {
    if (this.#busy) return null;
    this.#busy = true;
    this.#error = null;
    this.draw();
    const [life, which] = [this.life, this.#which];
    try {
      const answer = await this.call('POST', `session/${path}`, body);
      if (which !== this.#which) return null;
      if (answer.state) this.#take(answer);
      return answer;
    } catch (error) {
      if (!this.refused && which === this.#which) this.#error = error;
      return null;
    } finally {
      if (which === this.#which) this.#busy = false;
      if (life === this.life && !this.refused) {
        this.draw();
        if (this.#error === null) void this.#ask();
      }
    }
  }

  #take(session) {
    const before = this.#session?.state;
    this.#session = session;
    if (session.qr) {
      this.#code = session.qr;
      this.#endsAt = session.qr.secondsLeft === null ? 0 : Date.now() + session.qr.secondsLeft * 1000;
    }
    if (session.state !== 'pairing' && session.state !== 'connecting') {
      this.#code = null;
      this.#typed = null;
    }
    clearInterval(this.#clock);
    if (this.#code) this.#clock = setInterval(() => this.draw(), 1000);
    if (before !== session.state) {
      this.#sure = false;
      this.say('statechange', { state: session.state, reason: session.reason });
      if (session.state === 'connected') this.say('connected', { phone: session.phone });
      else if (before === 'connected') this.say('disconnected', { reason: session.reason });
    }
    this.draw();
  }

  draw() {
    if (this.refused) return this.show([this.refusal()]);
    const { state } = this.#session ?? {};
    if (state === 'connected') return this.show([...this.#connected(), this.note(this.#error)]);
    if (this.#code || state === 'pairing') return this.show([...(this.#typed === null ? this.#scan() : this.#type()), this.note(this.#error)]);
    this.show([...this.#rest(), this.note(this.#error)]);
  }

  #button(name, word, act, kind) {
    const off = this.#busy;
    return [name, `${this.tag}${word}${off}${kind}`, () => make('button', { type: 'button', class: kind, 'aria-disabled': off ? 'true' : undefined, onclick: () => { if (!this.#busy) act(); } }, this.t(word))];
  }

  #line(name, words, attributes = { class: 'quiet' }) { return [name, words, () => make('p', attributes, words)]; }

  #connected() {
    const { phone } = this.#session;
    return [
      ['good', 'good', () => make('p', {}, make('span', { class: 'good', 'aria-hidden': 'true' }, '✓'))],
      this.#line('state', this.t('connected'), { class: 'title', role: 'status' }),
      phone ? ['phone', `${this.tag}${phone}`, () => make('p', {}, `${this.t('phone')} `, make('bdi', { dir: 'ltr' }, `+${phone}`))] : null,
      ...(this.#sure
        ? [this.#line('sure', this.t('sure'), { role: 'alert' }), this.#button('yes', 'yes', () => void this.#command('disconnect'), 'wrong'), this.#button('no', 'no', () => { this.#sure = false; this.draw(); }, 'plain')]
        : [this.#button('disconnect', 'disconnect', () => { this.#sure = true; this.draw(); }, 'wrong')]),
    ];
  }

  #scan() {
    const code = this.#code;
    const left = Math.max(0, Math.ceil((this.#endsAt - Date.now()) / 1000));
    const stale = code !== null && (code.expired || left === 0 || this.#session?.state !== 'pairing');
    const picture = code === null
      ? ['code', `${this.tag}blank`, () => make('div', { class: 'code' }, make('p', {}, this.t('preparing')))]
      : ['code', `${this.tag}${code.version}${stale}`, () => make('div', { class: stale ? 'code stale' : 'code', 'data-version': code.version },
        make('svg', { viewBox: `0 0 ${code.side} ${code.side}`, role: 'img', 'aria-label': this.t('scan'), 'shape-rendering': 'crispEdges' }, make('path', { d: code.path, fill: '#000' })),
        stale ? make('span', { class: 'over' }, this.t('renewing')) : null)];
    return [
      this.#line('title', this.t('scan'), { class: 'title' }),
      picture,
      code === null || stale ? null : ['left', `${this.tag}${left}`, () => make('p', { class: 'quiet', role: 'timer' }, this.t('left', { s: this.number(left) }))],
      this.#line('how', this.t('how')),
      this.#button('typing', 'noCamera', () => { this.#typed = ''; this.draw(); }, 'plain'),
      this.#line('live', this.t(code === null ? 'preparing' : stale ? 'renewing' : 'scan'), { class: 'sr', role: 'status' }),
    ];
  }

  #type() {
    if (this.#typed !== '') {
      return [
        this.#line('title', this.t('type'), { role: 'status' }),
        ['typed', this.#typed, () => make('p', { class: 'typed', 'data-code': '' }, this.#typed)],
        this.#button('back', 'back', () => { this.#typed = null; this.draw(); }, 'plain'),
      ];
    }
    const submit = async (event) => {
      event.preventDefault();
      const phoneNumber = this.#number.replace(/[^\d+]/g, '');
      if (!/^\+?[1-9]\d{6,14}$/.test(phoneNumber)) {
        this.#error = new Refused(400, 'invalid', this.t('badNumber'));
        return this.draw();
      }
      const answer = await this.#command('pairing-code', { phoneNumber });
      if (answer?.code) { this.#typed = answer.code; this.draw(); }
    };
    return [
      ['form', this.tag, () => make('form', { onsubmit: (event) => void submit(event), novalidate: true },
        make('label', {}, this.t('number'), make('input', { type: 'tel', autocomplete: 'tel', dir: 'ltr', value: this.#number, oninput: (event) => { this.#number = event.target.value; } })),
        make('div', { class: 'row' }, make('button', { type: 'submit' }, this.t('getCode'))))],
      this.#button('back', 'back', () => { this.#typed = null; this.#error = null; this.draw(); }, 'plain'),
    ];
  }

  #rest() {
    const { state, reason, sentence, advice } = this.#session ?? {};
    const fresh = this.#session === null || reason === 'none';
    const going = this.#busy || state === 'connecting' || this.#session === null;
    // The server's sentences are English; elsewhere the short words of our own say enough.
    const words = fresh ? this.t('explain') : this.tag === 'en' ? `${sentence} ${advice}` : this.t('ended');
    return [
      this.#line('title', this.t(fresh ? 'title' : 'cancelled'), { class: 'title' }),
      state === 'connecting' ? this.#line('words', this.t('beginning'), { role: 'status' }) : this.#line('words', words, { class: 'quiet', role: 'status' }),
      [`begin`, `${this.tag}${going}${fresh}`, () => make('button', { type: 'button', 'aria-disabled': going ? 'true' : undefined, onclick: () => { if (!this.#busy && this.#session) void this.#command('connect'); } },
        this.t(this.#busy || state === 'connecting' ? 'beginning' : fresh ? 'begin' : 'again'))],
    ];
  }
}

customElements.define('whatsapp-connect', WhatsappConnect);
