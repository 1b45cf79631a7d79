// The flows that the product grew from, by their names: two people link their own numbers (S0), the settings' card (S1), and an
// agency that connects in its configuration and writes from a contact (S3).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFinds, browser, choosePassword, demo, open, until } from './harness.mjs';

let server;
let chrome;
before(async () => { [server, chrome] = await Promise.all([demo(), browser()]); });
after(async () => { await chrome?.close(); await server?.stop(); });

/** Somebody of a client, signed in by the link of their invitation. */
async function somebody(tenant, role, name, options) {
  const { link } = await server.api('POST', 'users', { email: `${name}@${tenant}.example.com`, role }, tenant);
  const page = await open(chrome, options);
  await page.goto(link);
  await choosePassword(page);
  return page;
}
const handset = (what, act) => fetch(`${server.url}/sandbox/handset/${what}`, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(act),
});
const arrived = async (session) =>
  (await (await fetch(`${server.url}/sandbox/handset/sessions`)).json()).find((one) => one.name === session)?.arrived ?? [];
const done = async (...pages) => {
  for (const page of pages) {
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  }
};

test('S0-12, S0-13, S0-24: two users sign in, link at /whatsapp-connect at once, and send from their own numbers', async () => {
  const [ada, ben] = await Promise.all([somebody('ecommerce', 'admin', 'ada'), somebody('support', 'admin', 'ben')]);
  const codes = await Promise.all([ada, ben].map(async (page) => {
    await page.goto(`${server.url}/whatsapp-connect`);
    await page.getByRole('button', { name: 'Connect WhatsApp' }).click();
    await page.locator('.qr img').waitFor();
    return page.locator('.qr img').getAttribute('src');
  }));
  assert.notEqual(codes[0], codes[1], 'each has a code of their own');
  // S0-17, S0-18: nothing without a sign-in, and another's session does not exist.
  assert.equal((await fetch(`${server.url}/api/v1/sessions/tenant_ecommerce/qr`)).status, 401);
  assert.equal(await ben.evaluate(() => fetch('/api/v1/sessions/tenant_ecommerce/qr?format=json').then((answer) => answer.status)), 404);
  await Promise.all([handset('scan', { session: 'tenant_ecommerce', phone: '15550009101' }), handset('scan', { session: 'tenant_support', phone: '15550009102' })]);
  for (const [page, phone] of [[ada, '+15550009101'], [ben, '+15550009102']]) {
    await page.getByRole('heading', { name: 'Connected' }).waitFor();
    await page.getByText(phone).first().waitFor();
    await page.getByLabel('To').fill('+34 600 111 444');
    await page.getByRole('button', { name: 'Send test message' }).click();
    await page.getByText(/^(Sent|Delivered|Read)$/).first().waitFor({ timeout: 40_000 });
  }
  for (const session of ['tenant_ecommerce', 'tenant_support']) {
    assert.equal((await until(() => arrived(session), (messages) => messages.length > 0)).length, 1, `${session} sent once`);
  }
  await done(ada, ben);
});

test('S1-29, S1-30, S1-31: the settings’ card shows a button, then the code, then the phone; and disconnects', async () => {
  await server.api('POST', 'tenants', { id: '5', name: 'Agent A' }, 'default');
  const page = await somebody('5', 'owner', 'agent');
  await page.goto(`${server.url}/settings`);
  const card = page.getByRole('region', { name: 'WhatsApp Integration' });
  await card.getByRole('button', { name: 'Connect WhatsApp' }).click();
  await card.getByText('Scan this QR code with WhatsApp:').waitFor();
  const code = card.locator('.qr img');
  await code.waitFor();
  assert.ok((await code.boundingBox()).width >= 280, 'large enough for a camera');
  assert.deepEqual(await axeFinds(page), []);
  await handset('scan', { session: 'tenant_5', phone: '971500000005' });
  await card.getByText('Connected').waitFor();
  await card.getByText('+971500000005').waitFor();
  assert.equal(await code.count(), 0, 'the code is gone');
  assert.deepEqual(await axeFinds(page), []);
  await card.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click();
  await card.getByRole('button', { name: 'Connect WhatsApp' }).waitFor();
  assert.equal(await card.getByText('Phone:').count(), 0);
  await done(page);
});

test('S3-13, S3-4, S3-5: connect from the configuration in Spanish, then write from the contact; it stands in their history', async () => {
  await server.api('POST', 'tenants', { id: 'agency', name: 'Agencia' }, 'default');
  const page = await somebody('agency', 'admin', 'livia', { locale: 'es' });
  await page.getByRole('link', { name: 'Ajustes' }).click();
  await page.getByRole('region', { name: 'Integración de WhatsApp' }).getByRole('link').click();
  await page.getByRole('button', { name: 'Conectar WhatsApp' }).click();
  await page.locator('.qr img').waitFor();
  await handset('scan', { session: 'tenant_agency', phone: '34600000777' });
  await page.getByRole('heading', { name: 'Conectado' }).waitFor();
  // A customer writes to the linked number, and is answered from their contact.
  await handset('write', { session: 'tenant_agency', phone: '34600111555', text: 'Hola, ¿siguen abiertos?' });
  await page.getByRole('link', { name: 'Contactos' }).click();
  await page.getByRole('link', { name: /34600111555/ }).click({ timeout: 20_000 });
  await page.getByRole('textbox', { name: 'Mensaje' }).fill('Sí, hasta las ocho.');
  await page.getByRole('button', { name: 'Enviar', exact: true }).click();
  const said = page.locator('.bubble.out', { hasText: 'Sí, hasta las ocho.' });
  await said.waitFor({ timeout: 20_000 });
  await said.getByText(/Enviado|Entregado|Leído/).waitFor({ timeout: 40_000 });
  assert.deepEqual((await until(() => arrived('tenant_agency'), (all) => all.length > 0)).map((one) => one.text), ['Sí, hasta las ocho.']);
  await done(page);
});
