// Bars by day: one picture for the eye, the same as a table for whoever cannot see it.
import { Group, Text, VisuallyHidden } from '@mantine/core';
import { useState } from 'react';
import { useSpeech } from '../../i18n';
import type { Bar } from './data';

export interface Series { label: string; color: string }
const HEIGHT = 150;

export function Chart({ title, bars, series }: { title: string; bars: Bar[]; series: Series[] }) {
  const { time, number } = useSpeech();
  const [over, setOver] = useState<number | null>(null);
  const day = (date: string) => time(`${date}T12:00:00Z`, { day: 'numeric', month: 'short' });
  const most = Math.max(1, ...bars.map((bar) => bar.values.reduce((sum, value) => sum + value, 0)));
  const shown = over === null ? undefined : bars[over];
  const every = Math.ceil(bars.length / 8);
  return (
    <figure className="chart" aria-label={title}>
      <Group justify="space-between" mb={6} gap="xs">
        <Text size="sm" fw={600} component="figcaption">{title}</Text>
        <Group gap="md">
          {series.map(({ label, color }, n) => (
            <Group key={label} gap={5}>
              <span className="swatch" style={{ background: color }} aria-hidden />
              <Text size="xs" c="dimmed" className="tabular">{label}{shown ? ` ${number(shown.values[n] ?? 0)}` : ''}</Text>
            </Group>
          ))}
          <Text size="xs" c="dimmed" className="tabular" miw={52} ta="end">{shown ? day(shown.date) : ''}</Text>
        </Group>
      </Group>
      <div className="bars" aria-hidden onMouseLeave={() => setOver(null)}>
        <span className="most">{number(most)}</span>
        {bars.map((bar, n) => (
          <div key={bar.date} className="bar" data-over={n === over || undefined} onMouseEnter={() => setOver(n)}>
            <div className="stack">
              {bar.values.map((value, s) => value > 0 && <i key={s} style={{ height: Math.max(2, (value / most) * HEIGHT), background: series[s]?.color }} />)}
            </div>
            <small>{n % every === 0 ? day(bar.date) : ''}</small>
          </div>
        ))}
      </div>
      <VisuallyHidden>
        <table>
          <caption>{title}</caption>
          <thead><tr><td />{series.map(({ label }) => <th key={label}>{label}</th>)}</tr></thead>
          <tbody>{bars.map((bar) => <tr key={bar.date}><th>{day(bar.date)}</th>{bar.values.map((value, n) => <td key={n}>{number(value)}</td>)}</tr>)}</tbody>
        </table>
      </VisuallyHidden>
    </figure>
  );
}

export const COLORS = {
  first: 'light-dark(#1b8578, #3bb3a2)', second: 'light-dark(#8fd3c8, #1f5f58)', third: 'light-dark(#5b8def, #6f9cf0)', bad: 'light-dark(#c2362b, #f07167)',
};
