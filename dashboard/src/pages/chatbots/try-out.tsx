// Asks a chatbot's responder a question, and shows the exact request and response.
import { Alert, Box, Button, Group, Stack, Tabs, Text, Textarea, Title } from '@mantine/core';
import { useState } from 'react';
import { api } from '../../api/client';
import type { Chatbot, Trial } from '../../api/types';
import { useSpeech } from '../../i18n';
import { useReason } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { useForm } from '../../ui/form';

type Exchange = Trial['request'] | Trial['response'];

const pretty = (text: string) => {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
};
/** As it went over the wire, its JSON laid out. */
const shown = (exchange: Exchange | null) => exchange && [
  'method' in exchange ? `${exchange.method} ${exchange.url}` : `HTTP ${exchange.status}`,
  ...Object.entries(exchange.headers).map(([name, value]) => `${name}: ${value}`), '', pretty(exchange.body),
].join('\n');

export function TryOut({ bot }: { bot: Chatbot }) {
  const { t, duration } = useSpeech();
  const reason = useReason();
  const form = useForm({ message: t('tryOut.words') });
  const [tried, setTried] = useState<Trial | null>(null);
  const ask = () => form.submit(async () => {
    const answer = await api('post', '/api/v1/chatbots/{id}/test', { params: { id: bot.id }, body: form.values });
    setTried(answer.data);
  });
  return (
    <Box className="panel" p="md" style={{ alignSelf: 'start' }}>
      <Title order={2} mb={4}>{t('tryOut.title')}</Title>
      <Text size="sm" c="dimmed" mb="sm">{t('tryOut.text')}</Text>
      <form onSubmit={(event) => { event.preventDefault(); void ask(); }}>
        <Stack gap="sm">
          <Textarea autosize minRows={2} aria-label={t('tryOut.message')} required value={form.values.message} error={form.error('message')} onChange={(e) => form.set('message', e.currentTarget.value)} dir="auto" />
          <Group><Button type="submit" variant="light" loading={form.busy}>{t('tryOut.ask')}</Button>{form.busy && <Text size="sm" c="dimmed" role="status">{t('tryOut.waiting')}</Text>}</Group>
          {form.problem !== null && <ErrorNote error={form.problem} />}
        </Stack>
      </form>
      {tried && (
        <Stack gap="sm" mt="md" role="status">
          {tried.answer
            ? <Box className="bubble in" maw="100%"><p dir="auto">{tried.answer}</p></Box>
            : <Alert color="red" variant="light" title={t('tryOut.failed')}>{[reason(tried.reason), tried.detail].filter(Boolean).join(' · ')}</Alert>}
          <Text size="xs" c="dimmed">{t('tryOut.took', { time: duration(tried.durationMs) })}{tried.handOff ? ` · ${t('tryOut.handOff')}` : ''}</Text>
          <Tabs defaultValue="request">
            <Tabs.List><Tabs.Tab value="request">{t('tryOut.request')}</Tabs.Tab><Tabs.Tab value="response">{t('tryOut.response')}</Tabs.Tab></Tabs.List>
            <Tabs.Panel value="request" pt="xs"><pre className="raw" tabIndex={0}>{shown(tried.request) ?? t('tryOut.nothing')}</pre></Tabs.Panel>
            <Tabs.Panel value="response" pt="xs"><pre className="raw" tabIndex={0}>{shown(tried.response) ?? t('tryOut.nothing')}</pre></Tabs.Panel>
          </Tabs>
        </Stack>
      )}
    </Box>
  );
}
