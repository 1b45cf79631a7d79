// Every number of the tenant: official ones and, beside them, those linked by QR code.
import { Box, Button, Group, Text } from '@mantine/core';
import { IconBrandWhatsapp, IconPhonePlus } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { unlessLive } from '../../api/live';
import type { Integration } from '../../api/types';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Page, Phone, State, useReason } from '../../ui/common';
import { Empty, Loaded } from '../../ui/states';
import { isSession, sessionsQuery, type Session } from '../sessions/data';
import { numbersQuery } from './data';

/** A linked number: its own page is where it is linked. */
function LinkedRow({ session }: { session: Session }) {
  const { t } = useSpeech();
  return (
    <Link to="/whatsapp-connect" search={{ session: session.name }} className="row-link">
      <Group justify="space-between" gap="sm">
        <Box miw={0}>
          <Text fw={600} size="sm">{session.phone ? <Phone of={session.phone} /> : <bdi>{session.name}</bdi>}</Text>
          <Text size="xs" c="dimmed" className="break">{t('numbers.linked')} · <bdi>{session.chatbotId ?? t('numbers.nobody')}</bdi></Text>
        </Box>
        <State of={session.state} />
      </Group>
    </Link>
  );
}

function Row({ number }: { number: Integration }) {
  const { t, known } = useSpeech();
  const reason = useReason();
  const mode = `mode.${number.mode}`;
  return (
    <Link to="/numbers/$id" params={{ id: number.id }} className="row-link">
      <Group justify="space-between" gap="sm">
        <Box miw={0}>
          <Text fw={600} size="sm"><Phone of={number.displayPhoneNumber ?? number.phoneNumberId} /></Text>
          <Text size="xs" c="dimmed" className="break"><bdi>{number.chatbotId}</bdi>{number.mode === 'all' ? '' : ` · ${known(mode) ? t(mode) : number.mode}`}</Text>
          {number.status !== 'active' && <Text size="xs" c="dimmed" mt={2}>{reason(number.statusReason, number.advice)}</Text>}
        </Box>
        <State of={number.status} />
      </Group>
    </Link>
  );
}

export function Numbers() {
  const { t } = useSpeech();
  const may = useMay('admin');
  const query = useQuery({ ...numbersQuery, refetchInterval: unlessLive(10_000) });
  const sessions = useQuery({ ...sessionsQuery, refetchInterval: unlessLive(10_000) }).data ?? [];
  const connect = <Button component={Link} to="/numbers/new" leftSection={<IconPhonePlus size={17} />}>{t('numbers.connect')}</Button>;
  const link = <Button component={Link} to="/whatsapp-connect" variant="default" leftSection={<IconBrandWhatsapp size={17} />}>{t('numbers.link')}</Button>;
  return (
    <Page title={t('nav.numbers')} text={t('numbers.text')} actions={may ? <>{connect}{link}</> : undefined}>
      <Loaded query={query}>{(all) => {
        const numbers = all.filter((number) => !isSession(number.phoneNumberId));
        return (numbers.length + sessions.length === 0
        ? <Empty icon={<IconPhonePlus size={40} stroke={1.2} />} title={t('numbers.none')} text={t('numbers.noneText')} action={may ? connect : undefined} />
        : (
          <Box className="panel rows">
            {numbers.map((number) => <Row key={number.id} number={number} />)}
            {sessions.map((session) => <LinkedRow key={session.id} session={session} />)}
          </Box>
        ));
      }}</Loaded>
    </Page>
  );
}
