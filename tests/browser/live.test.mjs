// What changes comes to the page by itself; and when the line is lost, that is said, polled over, and healed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, demo, open, pause, signIn, until } from './harness.mjs';

let server;
let chrome;
before(async () => { [server, chrome] = await Promise.all([demo(), browser()]); });
after(async () => { await chrome?.close(); await server?.stop(); });

const lists = (asked) => asked.filter((url) => /\/api\/v1\/conversations\?/.test(url)).length;
const write = (from, text) => server.simulate('message', '--from', from, '--text', text);

async function inbox(path = '/conversations') {
  const page = await open(chrome);
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await signIn(page, server, path);
  return { page, asked };
}

test('conversations come as they happen, and nothing is asked meanwhile', async () => {
  write('15550100001', 'the first one');
  const { page, asked } = await inbox();
  const rows = page.locator('.inbox-list .row-link');
  await rows.filter({ hasText: '0100001' }).waitFor();
  // An answer may still be on its way; then it is quiet, where every two seconds it was asked before.
  await pause(4000);
  const before = lists(asked);
  await pause(5000);
  assert.equal(lists(asked), before, 'nobody polls while the line stands');
  assert.equal(asked.filter((url) => url.endsWith('/api/v1/live')).length, 1);

  const began = Date.now();
  write('15550100002', 'a second one');
  await rows.filter({ hasText: '0100002' }).waitFor();
  assert.ok(Date.now() - began < 4000, `${Date.now() - began} ms`);
  // In the thread: the customer's words, and how far the answer got.
  await rows.filter({ hasText: '0100002' }).click();
  await page.getByText('a second one').first().waitFor();
  write('15550100002', 'and what about this?');
  await page.getByText('and what about this?').first().waitFor({ timeout: 5000 });
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test('a tab that nobody sees holds no line', async () => {
  const { page } = await inbox();
  const ended = page.waitForEvent('requestfailed', (request) => request.url().endsWith('/api/v1/live'));
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => window.seen ?? 'hidden' });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await ended;
  const again = page.waitForRequest((request) => request.url().endsWith('/api/v1/live'));
  await page.evaluate(() => { window.seen = 'visible'; document.dispatchEvent(new Event('visibilitychange')); });
  await again;
  await page.context().close();
});

test('without a line it is polled', async () => {
  const page = await open(chrome);
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.route('**/api/v1/live', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"code":"busy"}' }));
  await signIn(page, server, '/conversations');
  await pause(1000);
  const before = lists(asked);
  await pause(5000);
  assert.ok(lists(asked) >= before + 2, 'every two seconds');
  write('15550100003', 'polled');
  await page.locator('.inbox-list .row-link').filter({ hasText: '0100003' }).waitFor({ timeout: 8000 });
  // The line comes back by itself, and the polling ends.
  await page.unroute('**/api/v1/live');
  await until(async () => { const count = lists(asked); await pause(4500); return lists(asked) - count; }, (more) => more === 0, 40_000);
  await page.context().close();
});

test('a lost connection is said and heals by itself', async () => {
  const { page } = await inbox();
  await pause(1500);
  await page.context().setOffline(true);
  await page.locator('.line-down').waitFor({ timeout: 15_000 });
  write('15550100004', 'while away');
  await page.context().setOffline(false);
  await page.locator('.line-down').waitFor({ state: 'detached', timeout: 15_000 });
  await page.locator('.inbox-list .row-link').filter({ hasText: '0100004' }).waitFor({ timeout: 10_000 });
  await page.context().close();
});
