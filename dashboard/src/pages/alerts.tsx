// What people had to know lately; nothing is shown when there is nothing.
import { Box, Group, Text, Title } from '@mantine/core';
import { IconBell } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { api } from '../api/client';
import { useSpeech } from '../i18n';
import { Ago } from '../ui/common';

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
      <Title order={2} mb="xs">{t('alerts.title')}</Title>
      <Box className="panel rows">
        {recent.map((alert) => (
          <Group key={alert.id} p="sm" px="md" gap="sm" wrap="nowrap" align="flex-start">
            <IconBell size={17} aria-hidden style={{ flex: 'none', marginTop: 2 }} />
            <Text size="sm" flex={1} className="break">{alert.text}</Text>
            <Text size="xs" c="dimmed" style={{ whiteSpace: 'nowrap' }}><Ago at={alert.at} /></Text>
          </Group>
        ))}
      </Box>
    </Box>
  );
}
