// What people had to know lately, on the overview; nothing is shown when there is nothing.
import { Box, Group, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api } from '../../api/client';
import { useSpeech } from '../../i18n';
import { LinkAnchor } from '../../ui/links';
import { AlertRow } from './row';

/** How long an alert stays on the overview, in milliseconds. */
const RECENT = 3 * 86_400_000;

export function Alerts({ everybody }: { everybody: boolean }) {
  const { t } = useSpeech();
  const query = useQuery({
    queryKey: ['alerts', everybody], refetchInterval: 15_000,
    queryFn: async ({ signal }) => (await api('get', '/api/v1/alerts', { query: { limit: 5 }, signal, everybody })).data,
  });
  const recent = (query.data ?? []).filter((alert) => Date.now() - Date.parse(alert.at) < RECENT);
  if (recent.length === 0) return null;
  return (
    <Box>
      <Group justify="space-between" mb="xs">
        <Title order={2}>{t('alerts.title')}</Title>
        <LinkAnchor to="/alerts" size="sm">{t('alerts.all')}</LinkAnchor>
      </Group>
      <Box className="panel rows">{recent.map((alert) => <AlertRow key={alert.id} alert={alert} everybody={everybody} />)}</Box>
    </Box>
  );
}
