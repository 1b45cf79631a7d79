// One alert: what it means in the reader's language, the server's own words, and where to look.
import { Badge, Box, Group, Text } from '@mantine/core';
import { IconBell, IconBellCheck } from '@tabler/icons-react';
import type { AlertView } from '../../api/types';
import { useSpeech, type Key } from '../../i18n';
import { Ago } from '../../ui/common';
import { LinkAnchor } from '../../ui/links';

/** Where somebody mends what a kind of alert is about. */
const PLACES: Record<string, { to: '/failures' | '/whatsapp-connect' | '/webhooks' | '/chatbots'; word: Key }> = {
  deliveries_unknown: { to: '/failures', word: 'nav.failures' }, deliveries_dead: { to: '/failures', word: 'nav.failures' },
  turns_dead: { to: '/failures', word: 'nav.failures' }, events_unroutable: { to: '/failures', word: 'nav.failures' },
  secret_binding_refused: { to: '/failures', word: 'nav.failures' }, session_lost: { to: '/whatsapp-connect', word: 'nav.connect' },
  endpoint_disabled: { to: '/webhooks', word: 'nav.webhooks' }, responder_resting: { to: '/chatbots', word: 'nav.chatbots' },
};

export function AlertRow({ alert, everybody }: { alert: AlertView; everybody: boolean }) {
  const { t, known, duration } = useSpeech();
  const title = `alert.${alert.kind}`;
  const place = PLACES[alert.kind];
  const Icon = alert.state === 'over' ? IconBellCheck : IconBell;
  return (
    <Group p="sm" px="md" gap="sm" wrap="nowrap" align="flex-start">
      <Icon size={17} aria-hidden style={{ flex: 'none', marginTop: 2 }} />
      <Box flex={1} miw={0}>
        <Group gap="xs">
          <Text size="sm" fw={600}>{known(title) ? t(title) : alert.kind.replaceAll('_', ' ')}</Text>
          {alert.state === 'open' && <Badge className="badge" size="sm" variant="light" color="red" tt="none">{t('alerts.open')}</Badge>}
          {alert.endedAt && <Badge className="badge" size="sm" variant="light" color="brand" tt="none">{t('alerts.over', { time: duration(Date.parse(alert.endedAt) - Date.parse(alert.at)) })}</Badge>}
          {everybody && alert.tenant && <Badge className="badge" size="sm" variant="outline" color="gray" tt="none"><bdi>{alert.tenant}</bdi></Badge>}
        </Group>
        <Text size="xs" c="dimmed" className="break" lang="en" dir="auto" mt={2}>{alert.text}</Text>
        <Group gap="md" mt={2}>
          {alert.account && <LinkAnchor to="/numbers/$id" params={{ id: alert.account }} size="xs">{t('alerts.number')}</LinkAnchor>}
          {!alert.account && place && <LinkAnchor to={place.to} size="xs">{t(place.word)}</LinkAnchor>}
        </Group>
      </Box>
      <Text size="xs" c="dimmed" style={{ whiteSpace: 'nowrap' }}><Ago at={alert.at} /></Text>
    </Group>
  );
}
