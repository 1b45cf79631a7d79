// The pages before the shell: sign in, set the first person up, take an invitation.
import { ActionIcon, Box, Button, Group, Paper, PasswordInput, Stack, Text, TextInput, Title, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { IconMoon, IconSun } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState, type FormEvent, type ReactNode } from 'react';
import { call, Problem } from '../api/client';
import { useIsDown } from '../api/line';
import { LANGUAGES, useSpeech, type Language } from '../i18n';
import { ErrorNote } from '../ui/error-note';
import { useForm } from '../ui/form';

/** Shortest password, in characters. */
const SHORTEST = 8;

function Card({ title, text, children }: { title: string; text?: string; children: ReactNode }) {
  const { t, language, setLanguage } = useSpeech();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const down = useIsDown();
  return (
    <Box component="main" id="main" mih="100dvh" px="md" pb="xl" pt="max(5vh, 16px)">
      <Group justify="flex-end" gap={4} mb="6vh">
        {(Object.keys(LANGUAGES) as Language[]).map((tag) => (
          <Button key={tag} lang={tag} size="compact-sm" variant={tag === language ? 'light' : 'subtle'} color="gray" aria-pressed={tag === language} onClick={() => setLanguage(tag)}>
            {LANGUAGES[tag]}
          </Button>
        ))}
        <ActionIcon variant="subtle" color="gray" aria-label={t('me.look')} onClick={() => setColorScheme(scheme === 'dark' ? 'light' : 'dark')}>
          {scheme === 'dark' ? <IconSun size={18} /> : <IconMoon size={18} />}
        </ActionIcon>
      </Group>
      <Paper className="panel" maw={400} mx="auto" p={{ base: 'lg', xs: 32 }} shadow="sm">
        <Group gap={10} mb="lg"><span className="mark" aria-hidden /><Text fw={650}>Switchboard</Text></Group>
        <Title order={1} size="h2" mb={4}>{title}</Title>
        {text !== undefined && <Text c="dimmed" size="sm" mb="md">{text}</Text>}
        <div role="status" aria-live="polite">{down && <Text c="var(--mantine-color-error)" size="sm" mb="sm">{t('line.down')}</Text>}</div>
        {children}
      </Paper>
    </Box>
  );
}

/** Goes where the person wanted to go. */
function useEnter() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const search: { next?: string } = useSearch({ strict: false });
  return async () => {
    client.clear();
    await navigate({ href: search.next ?? '/', replace: true });
  };
}

/** Who signs in, as the demo's link says it behind `#`, where no server sees it; it leaves the address at once. */
function givenByLink() {
  const [email = '', password = ''] = decodeURIComponent(window.location.hash.slice(1)).split(':');
  if (email !== '') window.history.replaceState(window.history.state, '', window.location.pathname + window.location.search);
  return { email, password };
}

export function Login() {
  const { t } = useSpeech();
  const enter = useEnter();
  const search: { next?: string } = useSearch({ strict: false });
  const form = useForm(useState(givenByLink)[0]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void form.submit(async () => {
      await call('post', '/api/v1/sign-in', { body: form.values });
      await enter();
    });
  };
  const wrong = form.problem instanceof Problem && form.problem.status === 401;
  const slow = form.problem instanceof Problem && form.problem.status === 429;
  return (
    <Card title={t('login.title')} text={search.next === undefined ? t('login.text') : t('login.again')}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <TextInput
            label={t('login.email')} type="email" autoComplete="username" required autoFocus value={form.values.email}
            error={form.error('email')} onChange={(e) => form.set('email', e.currentTarget.value)}
          />
          <PasswordInput
            label={t('login.password')} autoComplete="current-password" required value={form.values.password}
            error={form.error('password')} onChange={(e) => form.set('password', e.currentTarget.value)}
          />
          {wrong && <Text role="alert" size="sm" c="var(--mantine-color-error)">{t('login.wrong')}</Text>}
          {slow && form.problem instanceof Problem && (
            <Text role="alert" size="sm" c="var(--mantine-color-error)">{t('login.slow', { seconds: form.problem.retryAfter ?? 60 })}</Text>
          )}
          {form.problem !== null && !wrong && !slow && <ErrorNote error={form.problem} compact />}
          <Button type="submit" loading={form.busy} fullWidth mt={6}>{t('login.submit')}</Button>
        </Stack>
      </form>
    </Card>
  );
}

/** What stands behind `#` in a link: it is never sent to a server by itself. */
const tokenOfLink = () => decodeURIComponent(window.location.hash.slice(1));

function Choose({ title, text, path, withEmail }: { title: string; text: string; path: string; withEmail: boolean }) {
  const { t } = useSpeech();
  const enter = useEnter();
  const [token] = useState(tokenOfLink);
  const form = useForm({ email: '', name: '', password: '' });
  const [again, setAgain] = useState('');
  const short = form.values.password !== '' && form.values.password.length < SHORTEST;
  const differs = again !== '' && again !== form.values.password;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (short || again !== form.values.password) return;
    void form.submit(async () => {
      const { email, name, password } = form.values;
      await call('post', path, { body: { token, password, ...(name === '' ? {} : { name }), ...(withEmail ? { email } : {}) } });
      await enter();
    });
  };
  if (token === '') return <Card title={title} text={t('link.incomplete')}>{null}</Card>;
  return (
    <Card title={title} text={text}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          {withEmail && (
            <TextInput label={t('login.email')} type="email" autoComplete="username" required value={form.values.email} error={form.error('email')} onChange={(e) => form.set('email', e.currentTarget.value)} />
          )}
          <TextInput label={t('link.name')} autoComplete="name" value={form.values.name} error={form.error('name')} onChange={(e) => form.set('name', e.currentTarget.value)} />
          <PasswordInput
            label={t('link.password')} description={t('link.shortest', { count: SHORTEST })} autoComplete="new-password" required value={form.values.password}
            error={form.error('password') ?? (short ? t('link.tooShort', { count: SHORTEST }) : undefined)} onChange={(e) => form.set('password', e.currentTarget.value)}
          />
          <PasswordInput label={t('link.again')} autoComplete="new-password" required value={again} error={differs ? t('link.differs') : undefined} onChange={(e) => setAgain(e.currentTarget.value)} />
          {form.problem !== null && <ErrorNote error={form.problem} compact />}
          <Button type="submit" loading={form.busy} disabled={short || differs} fullWidth mt={6}>{t('link.submit')}</Button>
        </Stack>
      </form>
    </Card>
  );
}

export function Setup() {
  const { t } = useSpeech();
  return <Choose title={t('setup.title')} text={t('setup.text')} path="/api/v1/setup" withEmail />;
}

export function Invite() {
  const { t } = useSpeech();
  return <Choose title={t('invite.title')} text={t('invite.text')} path="/api/v1/invitation" withEmail={false} />;
}
