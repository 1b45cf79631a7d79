// How everything looks: one accent, calm greys, and contrasts that everybody can read.
import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from '@mantine/core';

const brand: MantineColorsTuple = [
  '#effaf8', '#d9f2ee', '#b2e4dc', '#84d3c7', '#52bcad', '#2f9f91', '#1b8578', '#0f6f66', '#0c5a53', '#084641',
];

/** What closes a dialog is a cross: its name is for those who cannot see it. */
export const themeOf = (close: string) => createTheme({
  components: {
    // A dialog's head is no head of the page.
    Notification: { defaultProps: { closeButtonProps: { 'aria-label': close } } },
    Modal: { defaultProps: { closeButtonProps: { 'aria-label': close }, attributes: { header: { role: 'presentation' } } } },
  },
  colors: { brand },
  primaryColor: 'brand',
  primaryShade: 7,
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Vazirmatn", Tahoma, Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontWeight: '650', sizes: { h1: { fontSize: '1.5rem' }, h2: { fontSize: '1.125rem' }, h3: { fontSize: '1rem' } } },
});

/** Mantine's defaults for quiet text miss the contrast of 4.5:1. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#5b6468',
    '--mantine-color-placeholder': '#6b7479',
    '--mantine-color-body': '#ffffff',
    '--surface': '#f6f8f8',
    '--line': '#e3e8e8',
    '--bubble-in': '#ffffff',
    '--bubble-out': '#dcf3ee',
    '--bubble-person': '#e4ecfb',
    '--mantine-color-error': '#b3261e',
    '--mantine-color-anchor': '#0c5a53',
    '--mantine-color-red-light-color': '#a3211a',
  },
  dark: {
    '--mantine-color-dimmed': '#a3adb2',
    '--mantine-color-placeholder': '#8d989d',
    '--mantine-color-body': '#1b1f21',
    '--surface': '#14181a',
    '--line': '#2d3438',
    '--bubble-in': '#262c2f',
    '--bubble-out': '#12403b',
    '--bubble-person': '#22324f',
    '--mantine-color-error': '#ff8a80',
    '--mantine-color-anchor': '#84d3c7',
    '--mantine-color-red-light-color': '#ffb3ac',
  },
});
