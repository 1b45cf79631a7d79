// What is shown instead of a page: while it comes, when it breaks, when there is none.
import { Button, Center, Stack, Text, Title } from '@mantine/core';
import { Link, useRouter, type ErrorComponentProps } from '@tanstack/react-router';
import { useSpeech } from '../i18n';
import { Bones } from '../ui/states';
import { ErrorNote } from '../ui/error-note';

export const Waiting = () => <Bones rows={6} p="lg" />;

export function Broken({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const again = () => {
    reset();
    void router.invalidate();
  };
  return <Center component="main" mih="60vh" p="lg"><ErrorNote error={error} onRetry={again} /></Center>;
}

export function Missing() {
  const { t } = useSpeech();
  return (
    <Center component="main" mih="60vh" p="lg">
      <Stack align="center" gap="xs">
        <Title order={1}>{t('missing.title')}</Title>
        <Text c="dimmed">{t('missing.text')}</Text>
        <Button component={Link} to="/" variant="light" mt="sm">{t('missing.home')}</Button>
      </Stack>
    </Center>
  );
}
