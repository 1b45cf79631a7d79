// "Why was this message answered, or not?": one message through all stations, told as a story with the time each took.
import { Badge, Box, Button, Code, Group, Stack, Text, TextInput } from '@mantine/core';
import { IconRoute } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState, type FormEvent } from 'react';
import { api } from '../api/client';
import type { Trace as Found } from '../api/types';
import { useSpeech } from '../i18n';
import { Page, State, useReason } from '../ui/common';
import { LinkAnchor } from '../ui/links';
import { Empty, Loaded } from '../ui/states';

type Station = Found['stations'][number];
/** From how long on the longest step of a way is pointed at, in milliseconds. */
const LONG = 2000;

/** What became of it, in one line. */
function Outcome({ trace }: { trace: Found }) {
  const { t, known } = useSpeech();
  const reason = useReason();
  const key = `outcome.${trace.outcome}`;
  const state = `state.${trace.outcome}`;
  const incoming = trace.stations.some((station) => station.name === 'received');
  return (
    <Group gap="xs" mb={4}>
      {known(key)
        ? <Text fw={600}>{t(key)}</Text>
        : <><Text fw={600}>{t(incoming ? 'trace.answer' : 'trace.message')}</Text>{known(state) && <State of={trace.outcome} />}</>}
      {trace.reason && <Text className="break">{reason(trace.reason, trace.explanation)}</Text>}
    </Group>
  );
}

function Step({ station, before, longest }: { station: Station; before: Station | undefined; longest: boolean }) {
  const { t, known, time, duration, language } = useSpeech();
  const [key, story] = [`station.${station.name}`, `story.${station.name}`];
  const exact = time(station.at, { dateStyle: 'medium', timeStyle: 'medium' });
  // The server speaks English: elsewhere only what is no prose is shown, and what failed.
  const told = language === 'en' || ['attempt', 'failed'].includes(station.name) || !station.detail.includes(' ');
  const took = before === undefined ? 0 : Date.parse(station.at) - Date.parse(before.at);
  return (
    <li className={station.name === 'failed' ? 'bad' : ''}>
      <Group gap="xs" align="baseline">
        <Text size="sm" fw={600}>{known(key) ? t(key) : station.name}</Text>
        <Text size="xs" c="dimmed" className="tabular" component="time" dateTime={station.at} title={exact}>
          {before === undefined ? exact : t('trace.after', { time: duration(took) })}
        </Text>
        {longest && <Badge className="badge" size="sm" variant="light" color="yellow" tt="none">{t('trace.longest')}</Badge>}
      </Group>
      {known(story) && <Text size="sm">{t(story)}</Text>}
      {told && <Text size="xs" c="dimmed" className="break" lang="en"><bdi className="ltr">{station.detail}</bdi></Text>}
    </li>
  );
}

function Way({ trace }: { trace: Found }) {
  const { t, duration } = useSpeech();
  const { stations } = trace;
  const gaps = stations.map((station, n) => (n === 0 ? 0 : Date.parse(station.at) - Date.parse(stations[n - 1]!.at)));
  // What the customer's phone does takes as long as it takes: only our own way is judged.
  const ours = gaps.map((gap, n) => (['delivered', 'read', 'played'].includes(stations[n]!.name) ? 0 : gap));
  const most = Math.max(0, ...ours);
  const [first, sent] = [stations[0], stations.find((station) => station.name === 'sent')];
  return (
    <Box className="panel" p="md">
      <Outcome trace={trace} />
      <Group gap="md" mb="md">
        {trace.chatbotId && <Text size="sm" c="dimmed">{t('trace.chatbot')} <LinkAnchor to="/chatbots/$id" params={{ id: trace.chatbotId }} size="sm"><bdi>{trace.chatbotId}</bdi></LinkAnchor></Text>}
        {first && sent && <Text size="sm" c="dimmed">{t('trace.whole', { time: duration(Date.parse(sent.at) - Date.parse(first.at)) })}</Text>}
        {trace.conversationId && <LinkAnchor to="/conversations/$id" params={{ id: trace.conversationId }} size="sm">{t('failures.conversation')}</LinkAnchor>}
      </Group>
      <ol className="stations">
        {stations.map((station, n) => <Step key={n} station={station} before={stations[n - 1]} longest={most >= LONG && ours[n] === most && ours.indexOf(most) === n} />)}
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
