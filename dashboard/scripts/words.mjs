// Checks the words of the three languages against each other and against the code: the same keys everywhere, no sentence left
// in English, the same {values} in each, no key that no code uses.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const source = new URL('../src', import.meta.url).pathname;
/** What is the same word in another language, or a name. */
const SAME = new Set([
  'es:analytics.chatbot', 'es:author.chatbot', 'es:inbox.chatbot', 'es:nav.chatbots', 'es:number.webhook', 'es:side.meta', 'es:side.us',
  'es:trace.chatbot', 'es:wizard.chatbot', 'es:wizard.webhook', 'es:connect.who', 'fa:side.us',
  'es:time.ms', 'es:time.min', 'es:size.kb', 'es:size.mb', 'es:author.api', 'fa:author.api',
]);

async function words(language) {
  const { outputText } = ts.transpileModule(readFileSync(join(source, `i18n/${language}.ts`), 'utf8'), { compilerOptions: { module: 'esnext', target: 'es2022' } });
  return (await import(`data:text/javascript;base64,${Buffer.from(outputText).toString('base64')}`))[language];
}

const files = (folder) => readdirSync(folder).flatMap((name) => {
  const path = join(folder, name);
  return statSync(path).isDirectory() ? files(path) : /\.tsx?$/.test(name) && !path.includes('/i18n/e') && !path.includes('/i18n/fa') && !path.includes('schema') ? [readFileSync(path, 'utf8')] : [];
});

const [en, es, fa] = await Promise.all(['en', 'es', 'fa'].map(words));
const wrong = [];
const values = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort().join();
for (const [language, other] of [['es', es], ['fa', fa]]) {
  for (const key of new Set([...Object.keys(en), ...Object.keys(other)])) {
    if (!(key in other)) wrong.push(`${language}: ${key} is missing`);
    else if (!(key in en)) wrong.push(`${language}: ${key} is not in English`);
    else if (values(en[key]) !== values(other[key])) wrong.push(`${language}: ${key} has other {values}`);
    else if (en[key] === other[key] && /\p{L}{2}/u.test(en[key].replace(/\{\w+\}/g, '')) && !SAME.has(`${language}:${key}`)) wrong.push(`${language}: ${key} is still English: ${en[key]}`);
    if (key in other && other[key].trim() === '') wrong.push(`${language}: ${key} is empty`);
  }
}
for (const [key, text] of Object.entries(fa)) if (!/[\u0600-\u06ff]/.test(text) && /\p{L}{2}/u.test(text.replace(/\{\w+\}/g, '')) && !SAME.has(`fa:${key}`)) wrong.push(`fa: ${key} has no Persian letter: ${text}`);

// Keys are written out, or built from a stem: `state.${…}`.
const code = files(source).join('\n');
const stems = [...code.matchAll(/`((?:[\w]+\.)+)\$\{/g)].map(([, stem]) => stem);
for (const key of Object.keys(en)) {
  const bare = key.replace(/_(one|other)$/, '');
  if (!code.includes(`'${bare}'`) && !stems.some((stem) => key.startsWith(stem))) wrong.push(`en: nothing uses ${key}`);
}

for (const line of wrong) console.error(line);
console.log(`${Object.keys(en).length} words in three languages, ${wrong.length} of them wrong`);
process.exit(wrong.length === 0 ? 0 : 1);
