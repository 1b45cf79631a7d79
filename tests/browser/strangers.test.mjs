// Who may see what: another client's addresses, a sign-in that ends, and pages that a newcomer meets first.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFinds, browser, choosePassword, demo, open, signIn, until } from './harness.mjs';

let server;
let chrome;
before(async () => { [server, chrome] = await Promise.all([demo(), browser()]); });
after(async () => { await chrome?.close(); await server?.stop(); });

async function somebody(tenant, role, name) {
  const { link } = await server.api('POST', 'users', { email: `${name}@${tenant}.example.com`, role }, tenant);
  const page = await open(chrome);
  await page.goto(link);
  await choosePassword(page);
  return page;
}

test('another client’s addresses are not there, and say so kindly', async () => {
  server.simulate('message', '--from', '15550300001', '--name', 'Secretive', '--text', 'For the shop alone');
  const [talk] = await until(() => server.api('GET', 'conversations'), (rows) => rows.length === 1);
  const [said] = await until(() => server.api('GET', `conversations/${talk.id}/messages`), (rows) => rows.some((one) => one.wamid));
  const { wamid } = said.wamid ? said : (await server.api('GET', `conversations/${talk.id}/messages`)).find((one) => one.wamid);
  await server.api('POST', 'sessions', {});
  const page = await somebody('support', 'owner', 'nosy');
  for (const path of [
    `/conversations/${talk.id}`, `/contacts/${talk.contact.id}`, `/numbers/${talk.integrationId}`, '/chatbots/ecommerce-chatbot-id',
    '/whatsapp-connect/tenant_ecommerce/pace', `/trace?wamid=${encodeURIComponent(wamid)}`,
  ]) {
    await page.goto(server.url + path);
    await page.getByRole('heading', { name: 'This is not here', level: 1 }).waitFor();
    assert.equal(await page.getByText(/Secretive|For the shop alone/).count(), 0, path);
    assert.equal(await page.getByRole('alert').count(), 0, `${path}: it is no failure`);
  }
  assert.deepEqual(await axeFinds(page), []);
  await page.goto(`${server.url}/whatsapp-connect?session=tenant_ecommerce`);
  await page.getByRole('button', { name: 'Connect WhatsApp' }).waitFor();
  assert.equal(await page.locator('.qr').count(), 0);
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test('a sign-in that ended leads back to the very page, with its filters and what was being typed', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/failures?status=dead');
  await page.goto(`${server.url}/contacts?q=Nobody`);
  await page.getByText('Nothing found').waitFor();
  await page.context().clearCookies();
  await page.reload();
  await page.getByText('Your sign-in has ended').waitFor();
  await page.getByLabel('E-mail address').fill(server.email);
  await page.locator('input[type=password]').fill(server.password);
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/contacts\?q=Nobody/);
  assert.equal(await page.getByLabel('Search by name or phone').inputValue(), 'Nobody');
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test('a newcomer: from the demo’s link to an answer on the sandbox phone', async () => {
  const page = await open(chrome);
  await page.goto(`${server.url}/login#${server.email}:${server.password}`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  assert.ok(!page.url().includes(server.password), 'the password does not stay in the address');
  const [phone] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', { name: 'Sandbox phone' }).click()]);
  await phone.getByRole('button', { name: 'Hello!' }).click();
  await phone.getByText('You said: Hello!').waitFor();
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test('dialogs keep the focus and give it back; forms keep what was typed when they are refused', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/team');
  const opener = page.getByRole('button', { name: 'Invite somebody' });
  await opener.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  for (let n = 0; n < 12; n++) {
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement?.closest('[role=dialog]') !== null), true, `after ${n + 1} tabs`);
  }
  await dialog.getByLabel('E-mail address').fill('ada@');
  await dialog.getByRole('button', { name: 'Invite somebody' }).click();
  assert.equal(await dialog.getByLabel('E-mail address').inputValue(), 'ada@');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.equal(await opener.evaluate((element) => element === document.activeElement), true, 'the focus is back');
  await page.context().close();
});

test('the first page is light and stands still', async () => {
  const page = await open(chrome);
  await signIn(page, server);
  await page.evaluate(() => { localStorage.clear(); });
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.clearBrowserCache');
  let bytes = 0;
  session.on('Network.loadingFinished', (event) => { bytes += event.encodedDataLength; });
  await page.addInitScript(() => {
    window.shifted = 0;
    new PerformanceObserver((list) => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value; }).observe({ type: 'layout-shift', buffered: true });
  });
  await page.goto(`${server.url}/`);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  await page.locator('.number-row').first().waitFor();
  await page.waitForTimeout(500);
  assert.ok(bytes < 300_000, `${bytes} bytes came over the line`);
  const shifted = await page.evaluate(() => window.shifted);
  assert.ok(shifted < 0.1, `the page moved by ${shifted}`);
  if (process.env.FIGURES) console.log(`first load ${bytes} bytes, layout shift ${shifted}`);
  await page.context().close();
});
