// What stands where data will be: bones while it comes, a word when there is none, the reason when it fails.
import { Box, Skeleton, Stack, Text, Title, type BoxProps } from '@mantine/core';
import { IconMapQuestion } from '@tabler/icons-react';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useSpeech } from '../i18n';
import { Problem } from '../api/client';
import { ErrorNote } from './error-note';
import { LinkButton } from './links';

/** Grey rows, for a moment only. */
export function Bones({ rows = 4, ...box }: { rows?: number } & BoxProps) {
  const { t } = useSpeech();
  return (
    <Box role="status" aria-label={t('state.loading')} {...box}>
      <Stack gap="sm">
        {Array.from({ length: rows }, (_, n) => <Skeleton key={n} height={n === 0 ? 28 : 18} width={`${96 - ((n * 17) % 40)}%`} />)}
      </Stack>
    </Box>
  );
}

/** Nothing there, and what to do about it. */
export function Empty({ icon, title, text, action, order = 2 }: { icon?: ReactNode; title: string; text?: string; action?: ReactNode; order?: 1 | 2 }) {
  return (
    <Stack align="center" gap={6} py={48} px="md" ta="center" maw={460} mx="auto">
      {icon !== undefined && <Box c="dimmed" aria-hidden mb={4}>{icon}</Box>}
      <Title order={order} size="h3">{title}</Title>
      {text !== undefined && <Text c="dimmed" size="sm">{text}</Text>}
      {action !== undefined && <Box mt="sm">{action}</Box>}
    </Stack>
  );
}

/** What is not there for this reader: gone, mistyped, or another client's; which of them is nobody's business. */
export function Gone() {
  const { t } = useSpeech();
  return <Empty order={1} icon={<IconMapQuestion size={40} stroke={1.2} />} title={t('gone.title')} text={t('gone.text')} action={<LinkButton to="/" variant="light">{t('missing.home')}</LinkButton>} />;
}

export const isGone = (error: unknown) => error instanceof Problem && error.status === 404;

/** Data, or whatever stands in its place. Old data stays while new data fails: the line's state is said elsewhere. */
export function Loaded<T>({ query, rows, children }: {
  query: UseQueryResult<T>; rows?: number; children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (isGone(query.error)) return <Gone />;
  if (query.isError) return <ErrorNote error={query.error} onRetry={() => void query.refetch()} />;
  return <Bones rows={rows ?? 4} py="md" />;
}
