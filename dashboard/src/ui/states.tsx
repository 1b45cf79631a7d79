// What stands where data will be: bones while it comes, a word when there is none, the reason when it fails.
import { Box, Skeleton, Stack, Text, Title, type BoxProps } from '@mantine/core';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useSpeech } from '../i18n';
import { ErrorNote } from './error-note';

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
export function Empty({ icon, title, text, action }: { icon?: ReactNode; title: string; text?: string; action?: ReactNode }) {
  return (
    <Stack align="center" gap={6} py={48} px="md" ta="center" maw={460} mx="auto">
      {icon !== undefined && <Box c="dimmed" aria-hidden mb={4}>{icon}</Box>}
      <Title order={2} size="h3">{title}</Title>
      {text !== undefined && <Text c="dimmed" size="sm">{text}</Text>}
      {action !== undefined && <Box mt="sm">{action}</Box>}
    </Stack>
  );
}

/** Data, or whatever stands in its place. Old data stays while new data fails: the line's state is said elsewhere. */
export function Loaded<T>({ query, rows, children }: {
  query: UseQueryResult<T>; rows?: number; children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.isError) return <ErrorNote error={query.error} onRetry={() => void query.refetch()} />;
  return <Bones rows={rows ?? 4} py="md" />;
}
