// What Meta says of the values while they are typed: a dry run, so that nothing is stored before it is right.
import { Box, Group, Loader, Text, Title } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { api, Problem } from '../../api/client';
import { useSpeech } from '../../i18n';
import { ErrorNote } from '../../ui/error-note';
import { Checks } from './checks';

export interface MetaValues {
  chatbotId: string; phoneNumberId: string; businessAccountId: string; accessToken: string; verifyToken: string; appSecret: string;
}

/** How long somebody pauses before Meta is asked, in milliseconds. */
const PAUSE = 700;

/** Whether there is enough for Meta to look at. */
const complete = (values: MetaValues) =>
  values.phoneNumberId.length >= 5 && values.businessAccountId.length >= 5 && values.accessToken.length >= 8 && values.verifyToken.length >= 8;

/** The body without what was left empty. */
export const bodyOf = ({ appSecret, ...rest }: MetaValues) => ({ ...rest, ...(appSecret === '' ? {} : { appSecret }) });

export function LiveCheck({ values }: { values: MetaValues }) {
  const { t } = useSpeech();
  const [settled] = useDebouncedValue(values, PAUSE);
  const ready = complete(settled);
  const query = useQuery({
    queryKey: ['numbers', 'dry-run', settled], enabled: ready, retry: false, staleTime: 60_000, gcTime: 0, refetchOnWindowFocus: false,
    queryFn: async ({ signal }) => {
      // Whose number it will be changes nothing of what Meta says.
      const body = { ...bodyOf(settled), chatbotId: settled.chatbotId || 'dry-run', dryRun: true };
      try {
        return { checks: (await api('post', '/api/v1/whatsapp/integration', { body: body as never, signal })).data.checks as readonly unknown[], problem: null };
      } catch (error) {
        if (error instanceof Problem && error.status < 500) return { checks: error.checks as readonly unknown[], problem: error };
        throw error;
      }
    },
  });
  const found = ready ? query.data : undefined;
  return (
    <Box className="panel" p="md" aria-live="polite" component="section" aria-label={t('wizard.live')}>
      <Group justify="space-between" mb={4}><Title order={2}>{t('wizard.live')}</Title>{(query.isFetching || settled !== values) && ready && <Loader size="xs" aria-label={t('wizard.asking')} />}</Group>
      <Text size="sm" c="dimmed" mb="sm">{t('wizard.liveText')}</Text>
      {!ready && <Text size="sm">{t('wizard.liveWaits')}</Text>}
      {found && found.checks.length > 0 && <Checks of={found.checks} />}
      {found && found.checks.length === 0 && found.problem && <ErrorNote error={found.problem} compact />}
      {ready && query.isError && <ErrorNote error={query.error} onRetry={() => void query.refetch()} compact />}
      {found && found.problem === null && <Text size="sm" fw={600} mt="sm" c="var(--mantine-color-anchor)">{t('wizard.liveWell')}</Text>}
    </Box>
  );
}
