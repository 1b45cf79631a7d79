// The dashboard's entry: words, looks, data and pages, put together.
import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './app/app.css';
import { DirectionProvider, MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { setNonce } from 'get-nonce';
import { StrictMode, useMemo } from 'react';
import { createRoot } from 'react-dom/client';
import { queries } from './app/queries';
import { router } from './app/router';
import { themeOf, variables } from './app/theme';
import { SpeechProvider, useSpeech } from './i18n';

// The policy allows only styles that carry the page's own nonce.
const nonce = document.querySelector<HTMLMetaElement>('meta[name=csp-nonce]')?.content ?? '';
setNonce(nonce);

function Looks() {
  const { direction, t } = useSpeech();
  const theme = useMemo(() => themeOf(t('action.close')), [t]);
  return (
    <DirectionProvider key={direction} initialDirection={direction} detectDirection={false}>
      <MantineProvider theme={theme} cssVariablesResolver={variables} defaultColorScheme="auto" getStyleNonce={() => nonce}>
        <Notifications position="bottom-right" limit={4} />
        <RouterProvider router={router} />
      </MantineProvider>
    </DirectionProvider>
  );
}

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <SpeechProvider><Looks /></SpeechProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}
