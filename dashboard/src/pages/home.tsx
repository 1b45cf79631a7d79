// The page that stays open all day: every number at a glance, and what needs somebody.
import { Alert, Box, SegmentedControl, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { IconCircleCheck, IconPhonePlus } from '@tabler/icons-react';
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../api/client';
import { unlessLive } from '../api/live';
import type { NumberHealth } from '../api/types';
import { chooseTenant, chosenTenant, useMay, useMe } from '../app/session';
import { useSpeech } from '../i18n';
import { Ago, Page, Phone, State, useReason } from '../ui/common';
import { LinkButton } from '../ui/links';
import { Empty, Loaded } from '../ui/states';
import { sessionsQuery } from './sessions/data';
import { Alerts } from './alerts/recent';
import { Days } from './analytics/days';

/** What is shown of a number: its state, and loudest what went wrong. */
function NumberRow({ of, tenant }: { of: NumberHealth; tenant: string | null }) {
  const { t, number } = useSpeech();
  const reason = useReason();
  const client = useQueryClient();
  const wrong = of.failed + of.unanswered;
  const go = () => {
    if (tenant === null || tenant === chosenTenant()) return;
    chooseTenant(of.tenantId);
    client.removeQueries({ predicate: ({ queryKey }) => !['me', 'sandbox'].includes(String(queryKey[0])) });
  };
  const linked = of.transport === 'session';
  const phone = useQuery({ ...sessionsQuery, enabled: linked && tenant === null }).data?.find((one) => one.id === of.phoneNumberId)?.phone;
  const place = linked
    ? { to: '/whatsapp-connect', search: { session: of.phoneNumberId } } as const
    : { to: '/numbers/$id', params: { id: of.id } } as const;
  return (
    <Link {...place} className="row-link" onClick={go}>
      <div className="number-row">
        <Box miw={0}>
          <Text fw={600} size="sm"><Phone of={of.displayPhoneNumber ?? phone ?? (linked ? t('numbers.linked') : of.phoneNumberId)} /></Text>
          <Text size="xs" c="dimmed" className="break">{tenant !== null && <><bdi>{tenant}</bdi> · </>}<bdi>{of.chatbotId.startsWith('session:') ? t('numbers.nobody') : of.chatbotName}</bdi></Text>
          {of.status !== 'active' && (of.statusReason ?? of.advice) && <Text size="xs" c="dimmed" mt={2}>{reason(of.statusReason, of.advice)}</Text>}
        </Box>
        <Figure label={t('home.received')} value={number(of.received)} />
        <Figure label={t('home.sent')} value={number(of.sent)} />
        <Figure label={t('home.wrong')} value={number(wrong)} bad={wrong > 0} />
        <Figure label={t('home.last')} value={of.lastReceivedAt ? <Ago at={of.lastReceivedAt} /> : '—'} wide />
        <State of={of.status} size="sm" />
      </div>
    </Link>
  );
}

function Figure({ label, value, bad = false, wide = false }: { label: string; value: React.ReactNode; bad?: boolean; wide?: boolean }) {
  return (
    <div className={wide ? 'figure wide' : 'figure'}>
      <Text size="xs" c="dimmed">{label}</Text>
      <Text size="sm" className="tabular" {...(bad ? { c: 'var(--mantine-color-error)', fw: 700 } : {})}>{value}</Text>
    </div>
  );
}

function Tile({ label, value, to, bad = false }: { label: string; value: string; to?: '/failures' | '/conversations'; bad?: boolean }) {
  const inner = (
    <>
      <Text size="sm" c="dimmed">{label}</Text>
      <Text fz={28} fw={650} lh={1.2} className="tabular" {...(bad ? { c: 'var(--mantine-color-error)' } : {})}>{value}</Text>
    </>
  );
  return to ? <Link to={to} className="panel tile">{inner}</Link> : <div className="panel tile">{inner}</div>;
}

export function Home() {
  const { t, number } = useSpeech();
  const me = useMe();
  const may = useMay('admin');
  const [whose, setWhose] = useState('one');
  const everybody = whose === 'all';
  const query = useQuery({
    queryKey: ['overview', whose],
    refetchInterval: unlessLive(10_000),
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => (await api('get', '/api/v1/overview', { signal, everybody })).data,
  });
  const names = new Map(me.tenants.map((tenant) => [tenant.id, tenant.name]));
  return (
    <Page title={t('nav.home')} text={t('home.text')} actions={me.platform && me.tenants.length > 1 && (
      <SegmentedControl size="xs" aria-label={t('tenant.choose')} value={whose} onChange={setWhose} data={[{ value: 'one', label: t('home.oneClient') }, { value: 'all', label: t('home.everyClient') }]} />
    )}>
      <Loaded query={query} rows={7}>{({ numbers }) => {
        const sum = (of: (one: NumberHealth) => number) => numbers.reduce((sum, one) => sum + of(one), 0);
        const wrong = sum((one) => one.failed + one.unanswered);
        const ill = numbers.filter((one) => !['active', 'inactive'].includes(one.status));
        if (numbers.length === 0) {
          return <Empty icon={<IconPhonePlus size={40} stroke={1.2} />} title={t('numbers.none')} text={t('home.none')} action={may ? <LinkButton to="/numbers/new">{t('numbers.connect')}</LinkButton> : undefined} />;
        }
        return (
          <Stack gap="lg">
            {ill.length === 0 && wrong === 0
              ? <Alert color="brand" variant="light" icon={<IconCircleCheck />} p="sm">{t('home.well')}</Alert>
              : <Alert color={ill.length > 0 ? 'red' : 'yellow'} variant="light" p="sm">
                  {[ill.length > 0 ? t('home.ill', { count: ill.length }) : '', wrong > 0 ? t('home.wrongSum', { count: wrong }) : ''].filter(Boolean).join(' ')}
                </Alert>}
            <SimpleGrid cols={{ base: 2, sm: 4 }} spacing="sm">
              <Tile label={t('home.received')} value={number(sum((one) => one.received))} to="/conversations" />
              <Tile label={t('home.sent')} value={number(sum((one) => one.sent))} to="/conversations" />
              <Tile label={t('home.waiting')} value={number(sum((one) => one.waiting))} />
              <Tile label={t('home.wrong')} value={number(wrong)} to="/failures" bad={wrong > 0} />
            </SimpleGrid>
            <Alerts everybody={everybody} />
            {!everybody && <Days />}
            <Box>
              <Title order={2} mb="xs">{t('nav.numbers')}</Title>
              <Box className="panel rows">{numbers.map((one) => <NumberRow key={one.id} of={one} tenant={everybody ? (names.get(one.tenantId) ?? one.tenantId) : null} />)}</Box>
            </Box>
          </Stack>
        );
      }}</Loaded>
    </Page>
  );
}
