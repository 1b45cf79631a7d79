// The overview's picture: two weeks of messages.
import { useQuery } from '@tanstack/react-query';
import { useSpeech } from '../../i18n';
import { Chart, COLORS } from './chart';
import { bars, daysQuery } from './data';

const DAYS = 14;

export function Days() {
  const { t } = useSpeech();
  const rows = useQuery({ ...daysQuery(DAYS), refetchInterval: 60_000 }).data;
  if (rows === undefined) return null;
  return (
    <div className="panel chart-panel">
      <Chart
        title={t('analytics.days')} bars={bars(rows, DAYS, (day) => [day.userMessages ?? 0, (day.aiResponses ?? 0) + (day.agentResponses ?? 0) + (day.apiMessages ?? 0), (day.failures ?? 0) + (day.unanswered ?? 0)])}
        series={[{ label: t('home.received'), color: COLORS.first }, { label: t('home.sent'), color: COLORS.second }, { label: t('home.wrong'), color: COLORS.bad }]}
      />
    </div>
  );
}
