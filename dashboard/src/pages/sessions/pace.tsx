// A linked number's pace: how fast it may write first, what waits in its line, and what failed on the way.
import { Alert, Anchor, Box, Breadcrumbs, Button, Group, NumberInput, Progress, SimpleGrid, Stack, Switch, Text, TextInput, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconMessagePause } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { api } from '../../api/client';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Page, Phone, State } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { useForm } from '../../ui/form';
import { Loaded } from '../../ui/states';
import { SESSION, useSession, type Session } from './data';
import { Queue } from './queue';

const COUNTS = ['minGapSeconds', 'maxGapSeconds', 'minPauseSeconds', 'maxPauseSeconds', 'dailyCap', 'newContactsCap', 'utcOffsetMinutes'] as const;
type Pace = Session['pace'];

function useSave(session: Session) {
  const { t } = useSpeech();
  const client = useQueryClient();
  return async (pace: Partial<Record<keyof Pace, unknown>>) => {
    const { data } = await api('patch', SESSION, { params: { name: session.name }, body: { pace } as never });
    client.setQueryData(['session', session.name], data);
    notifications.show({ color: 'brand', message: t('action.saved') });
    return data;
  };
}

function Today({ session, may }: { session: Session; may: boolean }) {
  const { t, number } = useSpeech();
  const { sentToday, capToday, answers, started } = session.queue;
  const form = useForm({});
  const save = useSave(session);
  const paused = session.pace.paused === true;
  const warming = session.pace.warmUp && capToday < (session.pace.dailyCap ?? 0);
  return (
    <Box className="panel" p="md">
      <Group justify="space-between" mb="sm"><Title order={2}>{t('pace.today')}</Title><State of={session.state} /></Group>
      <Stack gap="sm">
        <div>
          <Text size="sm" mb={4}>{t('pace.sent', { sent: number(sentToday), cap: number(capToday) })}</Text>
          <Progress value={capToday > 0 ? Math.min(100, (100 * sentToday) / capToday) : 100} color={sentToday >= capToday ? 'yellow' : 'brand'} aria-label={t('pace.sent', { sent: number(sentToday), cap: number(capToday) })} />
        </div>
        {warming && <Text size="sm" c="dimmed">{t('pace.warming', { cap: number(session.pace.dailyCap ?? 0) })}</Text>}
        <Text size="sm">{t('pace.waitingAnswers', { count: answers })} {t('pace.waitingStarted', { count: started })}</Text>
        {paused && <Alert color="yellow" variant="light" icon={<IconMessagePause aria-hidden />} p="xs">{t('pace.pausedText')}</Alert>}
        {may && (
          <Switch
            label={t('pace.pause')} description={t('pace.pauseText')} checked={paused} disabled={form.busy}
            onChange={(e) => { const wanted = e.currentTarget.checked; void form.submit(async () => { await save({ paused: wanted }); }); }}
          />
        )}
        {form.problem !== null && <ErrorNote error={form.problem} />}
      </Stack>
    </Box>
  );
}

function Bounds({ session, may }: { session: Session; may: boolean }) {
  const { t } = useSpeech();
  const save = useSave(session);
  const { pace } = session;
  const before = {
    ...(Object.fromEntries(COUNTS.map((name) => [name, pace[name] ?? 0])) as Record<(typeof COUNTS)[number], number | string>),
    warmUp: pace.warmUp ?? true, quietFrom: pace.quietFrom ?? '', quietUntil: pace.quietUntil ?? '',
  };
  const form = useForm(before, Object.keys(before).map((name) => `pace.${name}`));
  const { values, set } = form;
  const error = (name: string) => form.error(`pace.${name}`);
  const changed = Object.entries(values).filter(([name, value]) => value !== before[name as keyof typeof before]);
  const submit = () => form.submit(async () => {
    const data = await save(Object.fromEntries(changed.map(([name, value]) => [name, value === '' ? null : value])));
    form.reset({ ...values, ...Object.fromEntries(COUNTS.map((name) => [name, data.pace[name] ?? 0])) });
  });
  const count = (name: (typeof COUNTS)[number]) => (
    <NumberInput key={name} label={t(`pace.${name}`)} hideControls readOnly={!may} value={values[name]} error={error(name)} onChange={(value) => set(name, value)} />
  );
  return (
    <Box className="panel" p="md">
      <Title order={2} mb={4}>{t('pace.bounds')}</Title>
      <Text size="sm" c="dimmed" mb="sm">{t('pace.boundsText')}</Text>
      <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
        <Stack gap="sm">
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">{count('minGapSeconds')}{count('maxGapSeconds')}{count('minPauseSeconds')}{count('maxPauseSeconds')}{count('dailyCap')}{count('newContactsCap')}</SimpleGrid>
          <Switch label={t('pace.warmUp')} description={t('pace.warmUpText')} disabled={!may} checked={values.warmUp} onChange={(e) => set('warmUp', e.currentTarget.checked)} />
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
            <TextInput label={t('pace.quietFrom')} type="time" readOnly={!may} value={values.quietFrom} error={error('quietFrom')} onChange={(e) => set('quietFrom', e.currentTarget.value)} />
            <TextInput label={t('pace.quietUntil')} type="time" readOnly={!may} value={values.quietUntil} error={error('quietUntil')} onChange={(e) => set('quietUntil', e.currentTarget.value)} />
            {count('utcOffsetMinutes')}
          </SimpleGrid>
          {form.problem !== null && <ErrorNote error={form.problem} />}
          {may && <Group><Button type="submit" loading={form.busy} disabled={changed.length === 0}>{t('action.save')}</Button></Group>}
        </Stack>
      </form>
    </Box>
  );
}

export function PacePage() {
  const { t } = useSpeech();
  const { name } = useParams({ from: '/app/whatsapp-connect/$name/pace' });
  const may = useMay('admin');
  const query = useSession(name);
  return (
    <Page title={t('pace.title')} text={t('pace.text')}>
      <Breadcrumbs mb="md" mt={-8} fz="sm" separatorMargin={6}>
        <Anchor component={Link} to="/whatsapp-connect" search={{ session: name } as never} size="sm">{t('connect.title')}</Anchor>
        <Text size="sm">{query.data?.phone ? <Phone of={query.data.phone} /> : <bdi>{name}</bdi>}</Text>
      </Breadcrumbs>
      <Loaded query={query} rows={8}>{(session) => (
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
          <Stack><Today session={session} may={may} /><Bounds key={session.name} session={session} may={may} /></Stack>
          <Queue session={session} />
        </SimpleGrid>
      )}</Loaded>
    </Page>
  );
}
