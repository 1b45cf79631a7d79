// "Why was this message answered, or not?": one message through all stations.
import { Box, Button, Code, Group, Stack, Text, TextInput } from '@mantine/core';
import { IconRoute } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState, type FormEvent } from 'react';
import { api } from '../api/client';
import type { Trace as Found } from '../api/types';
import { useSpeech } from '../i18n';
import { Page } from '../ui/common';
import { LinkAnchor } from '../ui/links';
import { Empty, Loaded } from '../ui/states';

function Way({ trace }: { trace: Found }) {
  const { t, known, time, number } = useSpeech();
  const start = trace.stations[0] ? Date.parse(trace.stations[0].at) : 0;
  return (
    <Box className="panel" p="md">
      <Text fw={600} mb={4} className="break">{trace.explanation}</Text>
      <Group gap="md" mb="md">
        {trace.chatbotId && <Text size="sm" c="dimmed">{t('nav.chatbots')}: <bdi>{trace.chatbotId}</bdi></Text>}
        {trace.conversationId && <LinkAnchor to="/conversations/$id" params={{ id: trace.conversationId }} size="sm">{t('failures.conversation')}</LinkAnchor>}
      </Group>
      <ol className="stations">
        {trace.stations.map((station, n) => {
          const key = `station.${station.name}`;
          const after = Date.parse(station.at) - start;
          return (
            <li key={n} className={station.name === 'failed' ? 'bad' : ''}>
              <Group gap="xs" align="baseline">
                <Text size="sm" fw={600}>{known(key) ? t(key) : station.name}</Text>
                <Text size="xs" c="dimmed" className="tabular" title={time(station.at, { dateStyle: 'medium', timeStyle: 'medium' })}>
                  {n === 0 ? time(station.at, { dateStyle: 'medium', timeStyle: 'medium' }) : t('trace.after', { time: after < 10_000 ? `${number(after)} ms` : `${number(after / 1000, { maximumFractionDigits: 1 })} s` })}
                </Text>
              </Group>
              <Text size="xs" c="dimmed" className="break">{station.detail}</Text>
            </li>
          );
        })}
      </ol>
    </Box>
  );
}

export function Trace() {
  const { t } = useSpeech();
  const { wamid } = useSearch({ from: '/app/trace' });
  const navigate = useNavigate();
  const [typed, setTyped] = useState(wamid ?? '');
  const query = useQuery({
    queryKey: ['trace', wamid],
    refetchInterval: 4000,
    enabled: wamid !== undefined,
    queryFn: async ({ signal }) => (await api('get', '/api/v1/trace/{wamid}', { params: { wamid: wamid ?? '' }, signal })).data,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void navigate({ to: '/trace', search: typed.trim() === '' ? {} : { wamid: typed.trim() } });
  };
  return (
    <Page title={t('nav.trace')} text={t('trace.text')}>
      <form onSubmit={submit}>
        <Group align="flex-end" mb="lg" gap="xs">
          <TextInput flex={1} miw={220} label={t('trace.id')} placeholder="wamid.…" value={typed} onChange={(e) => setTyped(e.currentTarget.value)} classNames={{ input: 'ltr' }} />
          <Button type="submit">{t('trace.follow')}</Button>
        </Group>
      </form>
      {wamid === undefined
        ? <Empty icon={<IconRoute size={40} stroke={1.2} />} title={t('trace.none')} text={t('trace.noneText')} />
        : <Loaded query={query}>{(traces) => (
            <Stack>
              <Text size="sm" c="dimmed">{t('trace.of')} <Code className="break">{wamid}</Code></Text>
              {traces.map((trace) => <Way key={`${trace.id}-${trace.integrationId ?? ''}`} trace={trace} />)}
            </Stack>
          )}</Loaded>}
    </Page>
  );
}
