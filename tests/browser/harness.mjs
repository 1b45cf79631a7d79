// What every browser test needs: the real server with its sandbox, a browser, a signed-in person, and a second look at
// what is on the page: axe, overflow, and the content security policy's complaints.
import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const root = new URL('../..', import.meta.url).pathname;
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
export const binary = process.env.SWITCHBOARD_BIN ?? join(target, 'debug/switchboard');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** `switchboard demo` on a free port with a database of its own. */
export async function demo() {
  assert.ok(existsSync(binary), `${binary} is missing: cargo build first, or name it in SWITCHBOARD_BIN`);
  const data = mkdtempSync(join(tmpdir(), 'switchboard-browser-'));
  const child = spawn(binary, ['demo', '--port', '0', '--data', data], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk) => { said += chunk; });
  const end = Date.now() + 60_000;
  while (!said.includes('Ctrl-C')) {
    assert.ok(Date.now() < end && child.exitCode === null, `the demo did not start: ${said}`);
    await pause(50);
  }
  const [, url, email, password] = said.match(/(http:\/\/[\d.:]+)\/login\s+as\s+(\S+)\s+with\s+(\S+)/) ?? [];
  const [, key] = said.match(/Bearer (\S+)'/) ?? [];
  return {
    url, email, password,
    /** The API as a program uses it, for a tenant. */
    async api(method, path, body, tenant = 'ecommerce') {
      const response = await fetch(`${url}/api/v1/${path}`, {
        method, headers: { authorization: `Bearer ${key}`, 'switchboard-tenant': tenant, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer = await response.json();
      assert.ok(response.ok, `${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
      return answer.data;
    },
    /** A customer writes. */
    simulate(...words) {
      execFileSync(binary, ['simulate', ...words, '--url', url], { stdio: 'pipe' });
    },
    /** What a customer's phone shows. */
    async phone(from, phoneNumberId = '123456789') {
      return (await fetch(`${url}/sandbox/api/chat?phoneNumberId=${phoneNumberId}&from=${from}`)).json();
    },
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await gone;
      rmSync(data, { recursive: true, force: true });
    },
  };
}

export const browser = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

/** A page that remembers what went wrong on it: thrown errors, and what the policy refused. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en', ...options });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await context.newPage();
  page.wrong = [];
  page.on('pageerror', (error) => page.wrong.push(String(error)));
  page.on('dialog', (dialog) => { page.wrong.push(`dialog: ${dialog.message()}`); void dialog.dismiss(); });
  page.on('console', (message) => { if (/Content Security Policy/i.test(message.text())) page.wrong.push(message.text()); });
  return page;
}

export async function signIn(page, { url, email, password }, path = '/') {
  await page.goto(url + path);
  await page.getByLabel(/E-mail|Correo|ایمیل/).fill(email);
  await page.locator('input[type=password]').fill(password);
  await page.locator('button[type=submit]').click();
  await page.locator('#main.main').waitFor();
}

/** On the page behind an invitation's link. */
export async function choosePassword(page, password = 'a long and good password') {
  const boxes = page.locator('input[autocomplete=new-password]');
  await boxes.first().waitFor();
  for (const box of await boxes.all()) await box.fill(password);
  await page.locator('button[type=submit]').click();
  await page.locator('#main.main').waitFor();
}

/** What axe finds, as sentences; none is well. */
export async function axeFinds(page) {
  // Over the debugger's line, because the page's own policy allows no strange scripts.
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: axe });
  const expression = `axe.run(document, { resultTypes: ['violations'] }).then((found) => JSON.stringify(found.violations.map((one) =>
    one.id + ' (' + one.impact + '): ' + one.nodes.slice(0, 2).map((node) => node.html.slice(0, 200)).join(' | '))))`;
  const { result } = await session.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
  await session.detach();
  return JSON.parse(result.value);
}

/** By how many pixels the page is wider than its window. */
export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Until it is as wished; what it was last otherwise. */
export async function until(what, wished, within = 15_000) {
  const end = Date.now() + within;
  for (;;) {
    const found = await what();
    if (wished(found)) return found;
    assert.ok(Date.now() < end, `not in time; last: ${JSON.stringify(found)}`);
    await pause(100);
  }
}
