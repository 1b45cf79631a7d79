// A failure as people read it: what, why, the request's id for whoever looks into it, and another try.
import { Alert, Button, Code, Group, List, Text } from '@mantine/core';
import { IconAlertTriangle, IconPlugConnectedX } from '@tabler/icons-react';
import { NoAnswer, Problem } from '../api/client';
import { useSpeech } from '../i18n';

/** The one sentence of an error. */
export function useSentence() {
  const { t, known } = useSpeech();
  return (error: unknown): string => {
    if (error instanceof NoAnswer) return t('error.noAnswer');
    if (error instanceof Problem) {
      const key = `problem.${error.code}`;
      // The server's own sentence says more than the code, in the one language it knows.
      return known(key) ? t(key) : error.detail || error.title;
    }
    return t('error.unexpected');
  };
}

export function ErrorNote({ error, onRetry, compact = false }: {
  error: unknown; onRetry?: (() => void) | undefined; compact?: boolean;
}) {
  const { t } = useSpeech();
  const sentence = useSentence();
  const problem = error instanceof Problem ? error : null;
  const chunk = error instanceof Error && /import|module|chunk/i.test(error.message) && !problem;
  return (
    <Alert
      role="alert" color="red" variant="light" w="100%" maw={640}
      icon={error instanceof NoAnswer ? <IconPlugConnectedX /> : <IconAlertTriangle />}
      title={sentence(error)}
    >
      {problem !== null && problem.detail !== '' && sentence(error) !== problem.detail && <Text size="sm">{problem.detail}</Text>}
      {problem !== null && problem.errors.length > 0 && !compact && (
        <List size="sm" mt={4}>
          {problem.errors.map((e) => <List.Item key={e.field}><Code>{e.field}</Code> {e.message}</List.Item>)}
        </List>
      )}
      <Group gap="sm" mt={compact ? 4 : 'xs'}>
        {onRetry && (
          <Button size="xs" variant="default" onClick={() => (chunk ? window.location.reload() : onRetry())}>{t('action.retry')}</Button>
        )}
        {problem !== null && problem.requestId !== '' && (
          <Text size="xs" c="dimmed">{t('error.request')} <Code>{problem.requestId}</Code></Text>
        )}
      </Group>
    </Alert>
  );
}
