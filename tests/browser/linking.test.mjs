// Numbers linked by QR code: two clients at once, each with a code, a number and messages of their own.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFinds, browser, choosePassword, demo, open, pause, until } from './harness.mjs';

let server;
let chrome;
before(async () => { [server, chrome] = await Promise.all([demo(), browser()]); });
after(async () => { await chrome?.close(); await server?.stop(); });

/** Somebody of a client, signed in by the link of their invitation. */
async function somebody(tenant, role, options) {
  const { link } = await server.api('POST', 'users', { email: `${role}@${tenant}.example.com`, role }, tenant);
  const page = await open(chrome, options);
  await page.goto(link);
  await choosePassword(page);
  return page;
}

const handset = (what, act) => fetch(`${server.url}/sandbox/handset/${what}`, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(act),
});
const scan = (session, phone) => handset('scan', { session, phone });
const arrived = async (session) =>
  (await (await fetch(`${server.url}/sandbox/handset/sessions`)).json()).find((one) => one.name === session)?.arrived;

test('two clients link a number at the same time, see their own code only, and send from their own number', async () => {
  const pages = await Promise.all([somebody('ecommerce', 'admin'), somebody('support', 'admin')]);
  const [shop, help] = pages;
  const codes = await Promise.all(pages.map(async (page) => {
    await page.goto(`${server.url}/whatsapp-connect`);
    await page.getByRole('button', { name: 'Connect WhatsApp' }).click();
    const picture = page.locator('.qr img');
    await picture.waitFor({ timeout: 15_000 });
    await page.getByRole('timer').getByText(/New code in \d+ s/).waitFor();
    return picture.getAttribute('src');
  }));
  assert.notEqual(codes[0], codes[1]);
  assert.deepEqual(await axeFinds(shop), []);
  // A reload, and a second look, show the same code: it is kept on the server.
  await shop.reload();
  await shop.locator('.qr img').waitFor();
  assert.equal(await shop.locator('.qr img').getAttribute('src'), codes[0]);
  // The way without a camera.
  await help.getByRole('button', { name: /No camera/ }).click();
  await help.getByLabel('The phone’s number').fill('+1 555 000 9002');
  await help.getByRole('button', { name: 'Get a code' }).click();
  assert.match(await help.locator('[data-code]').textContent(), /^[0-9A-Z]{4}-?[0-9A-Z]{4}$/);

  await scan('tenant_ecommerce', '15550009001');
  await shop.getByRole('heading', { name: 'Connected' }).waitFor({ timeout: 15_000 });
  await shop.getByText('+15550009001').first().waitFor();
  assert.equal(await help.locator('.qr img').count(), 1, 'the other one still waits');
  await scan('tenant_support', '15550009002');
  await help.getByRole('heading', { name: 'Connected' }).waitFor({ timeout: 15_000 });

  await shop.getByLabel('To').fill('+34 600 111 333');
  await shop.getByRole('button', { name: 'Send test message' }).click();
  await shop.getByText(/Sent|Delivered|Read/).first().waitFor({ timeout: 20_000 });
  const sent = await until(() => arrived('tenant_ecommerce'), (messages) => messages.length === 1);
  assert.match(sent[0].to, /34600111333/);
  assert.deepEqual(await arrived('tenant_support'), [], 'nothing left from the other number');

  await shop.getByRole('button', { name: 'Disconnect' }).click();
  await shop.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click();
  await shop.getByRole('button', { name: /New QR code|Reconnect/ }).waitFor({ timeout: 15_000 });
  await shop.getByRole('dialog').waitFor({ state: 'detached' });
  assert.deepEqual(await axeFinds(shop), []);
  await help.getByRole('heading', { name: 'Connected' }).waitFor();
  await shop.getByRole('button', { name: 'New QR code' }).click({ timeout: 15_000 });
  await shop.locator('.qr img').waitFor({ timeout: 15_000 });
  assert.notEqual(await shop.locator('.qr img').getAttribute('src'), codes[0]);
  for (const page of pages) {
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  }
});

test('who may only look sees where a number stands, and never its code', async () => {
  const viewer = await somebody('ecommerce', 'viewer');
  const asked = [];
  viewer.on('request', (request) => { if (/\/qr(\?|$)|session-qr/.test(request.url())) asked.push(request.url()); });
  await viewer.goto(`${server.url}/whatsapp-connect`);
  await viewer.getByText('Only an administrator may link a phone.').waitFor();
  await pause(1500);
  assert.equal(await viewer.locator('.qr img').count(), 0);
  assert.deepEqual(asked, []);
  assert.equal(await viewer.getByRole('button', { name: /Cancel|Another number|Connect WhatsApp/ }).count(), 0);
  assert.deepEqual(await axeFinds(viewer), []);
  assert.deepEqual(viewer.wrong, []);
  await viewer.context().close();
});

test('a phone that unlinks is noticed at once, said in words, and linked again', async () => {
  const page = await somebody('support', 'owner', { locale: 'es', viewport: { width: 360, height: 760 } });
  await page.goto(`${server.url}/whatsapp-connect`);
  await page.getByRole('heading', { name: 'Conectado' }).waitFor();
  await handset('unlink', { session: 'tenant_support' });
  await page.getByRole('heading', { name: 'Conectado' }).waitFor({ state: 'detached', timeout: 20_000 });
  await until(async () => (await page.locator('.qr img').count()) + (await page.getByRole('button', { name: /Nuevo código QR|Reconectar/ }).count()), (count) => count > 0, 20_000);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)) <= 0);
  assert.deepEqual(await axeFinds(page), []);
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});
