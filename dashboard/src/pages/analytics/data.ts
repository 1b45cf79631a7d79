// Figures by chatbot and day.
import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import { api } from '../../api/client';
import type { Day } from '../../api/types';

export type { ChatbotFigures, Day } from '../../api/types';

export const daysQuery = (days: number, chatbotId?: string) => queryOptions({
  queryKey: ['analytics', 'days', days, chatbotId ?? ''],
  staleTime: 30_000,
  placeholderData: keepPreviousData,
  queryFn: async ({ signal }) => (await api('get', '/api/v1/analytics/per-day', { query: { days, ...(chatbotId ? { chatbotId } : {}) }, signal })).data,
});

export const figuresQuery = (days: number) => queryOptions({
  queryKey: ['analytics', 'chatbots', days],
  staleTime: 30_000,
  placeholderData: keepPreviousData,
  queryFn: async ({ signal }) => (await api('get', '/api/v1/analytics', { query: { days }, signal })).data,
});

export interface Bar { date: string; values: number[] }

/** One bar for each of the last days, those without anything too; all chatbots together. */
export function bars(rows: Day[], days: number, of: (day: Day) => number[]): Bar[] {
  const byDate = Map.groupBy(rows, (row) => row.date);
  return Array.from({ length: days }, (_, n) => {
    const date = new Date(Date.now() - (days - 1 - n) * 86_400_000).toISOString().slice(0, 10);
    const values = (byDate.get(date) ?? []).map(of);
    const width = values[0]?.length ?? of({} as Day).length;
    return { date, values: Array.from({ length: width }, (_, series) => values.reduce((sum, row) => sum + (row[series] ?? 0), 0)) };
  });
}
