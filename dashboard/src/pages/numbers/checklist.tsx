// What must hold before a number goes live, ticked off by itself; its address may be given to whoever waits for it.
import { Box, Button, CopyButton, Group, Stack, Text, Title } from '@mantine/core';
import { IconCircle, IconCircleCheckFilled, IconLink } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { api } from '../../api/client';
import type { Integration } from '../../api/types';
import { useSpeech, type Key } from '../../i18n';

/** Whether a customer was heard on this number, and whether its chatbot answered one. */
function useTalk({ chatbotId, phoneNumberId, id }: Integration) {
  return useQuery<{ heard: boolean; answered: boolean }>({
    queryKey: ['conversations', 'checklist', id], refetchInterval: (query) => (query.state.data?.answered ? false : 5000),
    queryFn: async ({ signal }) => {
      const { data } = await api('get', '/api/v1/conversations', { query: { chatbotId, limit: 20 }, signal });
      const talk = data.find((one) => one.phoneNumberId === phoneNumberId);
      if (talk === undefined) return { heard: false, answered: false };
      const said = (await api('get', '/api/v1/conversations/{id}/messages', { params: { id: talk.id }, query: { limit: 50 }, signal })).data;
      return {
        heard: said.some((message) => message.direction === 'in'),
        answered: said.some((message) => message.author === 'chatbot' && message.deliveries.some((part) => ['sent', 'delivered', 'read', 'played'].includes(part.status))),
      };
    },
  }).data;
}

export function Checklist({ number }: { number: Integration }) {
  const { t } = useSpeech();
  const talk = useTalk(number);
  const checks = number.checks as readonly { name: string; status: string }[];
  const ok = (...names: string[]) => names.every((name) => checks.find((check) => check.name === name)?.status === 'ok');
  const points: [Key, boolean][] = [
    ['live.confirmed', number.status === 'active' && ok('token', 'number', 'business_account')],
    ['live.subscribed', ok('subscription')],
    ['live.verified', Boolean(number.verifiedAt) || ok('webhook')],
    ['live.heard', talk?.heard === true],
    ['live.answered', talk?.answered === true],
  ];
  const left = points.filter(([, done]) => !done).length;
  return (
    <Box className="panel" p="md" component="section" aria-labelledby="live-title">
      <Group justify="space-between" mb="sm" gap="xs">
        <Title order={2} id="live-title">{t('live.title')}</Title>
        <CopyButton value={window.location.href}>
          {({ copied, copy }) => <Button size="compact-sm" variant="subtle" leftSection={<IconLink size={15} aria-hidden />} onClick={copy}>{copied ? t('action.copied') : t('live.link')}</Button>}
        </CopyButton>
      </Group>
      <Stack gap={6} component="ul" m={0} p={0} style={{ listStyle: 'none' }}>
        {points.map(([key, done]) => (
          <Group key={key} component="li" gap="xs" wrap="nowrap">
            {done
              ? <IconCircleCheckFilled size={18} color="var(--mantine-color-brand-6)" style={{ flex: 'none' }} role="img" aria-label={t('state.done')} />
              : <IconCircle size={18} style={{ flex: 'none' }} color="var(--mantine-color-dimmed)" role="img" aria-label={t('live.open')} />}
            <Text size="sm" {...(done ? {} : { c: 'dimmed' })}>{t(key)}</Text>
          </Group>
        ))}
      </Stack>
      <Text size="sm" fw={600} mt="sm" role="status">{left === 0 ? t('live.ready') : t('live.left', { count: left })}</Text>
    </Box>
  );
}
