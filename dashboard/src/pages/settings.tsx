// What a person sets for themselves: language, look, password.
import { Box, Button, Group, PasswordInput, SegmentedControl, SimpleGrid, Stack, Text, Title, useMantineColorScheme } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { call } from '../api/client';
import { useMe } from '../app/session';
import { LANGUAGES, useSpeech, type Language } from '../i18n';
import { Page } from '../ui/common';
import { ErrorNote } from '../ui/error-note';
import { useForm } from '../ui/form';
import { IntegrationCard } from './sessions/card';

function Password() {
  const { t } = useSpeech();
  const form = useForm({ currentPassword: '', password: '' });
  const submit = async () => {
    if (await form.submit(async () => { await call('post', '/api/v1/me/password', { body: form.values }); })) {
      form.reset({ currentPassword: '', password: '' });
      notifications.show({ color: 'brand', message: t('settings.passwordChanged') });
    }
  };
  return (
    <Box className="panel" p="md">
      <Title order={2} mb="sm">{t('settings.password')}</Title>
      <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
        <Stack gap="sm">
          <PasswordInput label={t('settings.current')} autoComplete="current-password" required value={form.values.currentPassword} error={form.error('currentPassword')} onChange={(e) => form.set('currentPassword', e.currentTarget.value)} />
          <PasswordInput label={t('settings.new')} description={t('link.shortest', { count: 8 })} autoComplete="new-password" required value={form.values.password} error={form.error('password')} onChange={(e) => form.set('password', e.currentTarget.value)} />
          {form.problem !== null && <ErrorNote error={form.problem} />}
          <Group><Button type="submit" loading={form.busy}>{t('settings.change')}</Button></Group>
        </Stack>
      </form>
    </Box>
  );
}

export function Settings() {
  const { t, language, setLanguage } = useSpeech();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const me = useMe();
  return (
    <Page title={t('nav.settings')}>
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
        <Box className="panel" p="md">
          <Title order={2} mb="sm">{t('settings.you')}</Title>
          <Stack gap="md">
            <div><Text fw={600}>{me.name}</Text><Text size="sm" c="dimmed">{me.email} · {t(`role.${me.role}`)}</Text></div>
            <div>
              <Text size="sm" fw={500} mb={4} id="language-label">{t('me.language')}</Text>
              <SegmentedControl aria-labelledby="language-label" value={language} onChange={(tag) => setLanguage(tag as Language)} data={(Object.keys(LANGUAGES) as Language[]).map((value) => ({ value, label: LANGUAGES[value] }))} />
            </div>
            <div>
              <Text size="sm" fw={500} mb={4} id="look-label">{t('me.look')}</Text>
              <SegmentedControl aria-labelledby="look-label" value={colorScheme} onChange={(scheme) => setColorScheme(scheme as 'light')} data={(['light', 'dark', 'auto'] as const).map((value) => ({ value, label: t(`look.${value}`) }))} />
            </div>
          </Stack>
        </Box>
        <IntegrationCard />
        <Password />
      </SimpleGrid>
    </Page>
  );
}
