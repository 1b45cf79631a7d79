// One message: whose it is, what it says, how it fares, and why.
import { Button, Group, Text, Tooltip } from '@mantine/core';
import { IconAlertCircle, IconCheck, IconChecks, IconClock, IconFile, IconMapPin, IconMicrophone, IconPhoto, IconVideo } from '@tabler/icons-react';
import type { Message, Part } from '../../api/types';
import { useSpeech, type Key } from '../../i18n';
import { useReason } from '../../ui/common';
import { useSentence } from '../../ui/error-note';
import { LinkAnchor } from '../../ui/links';
import { again, discard, type Outgoing } from './outgoing';
import { useRetry } from '../failures/retry';
import { Attachment } from './attachment';
import { Formatted } from './formatted';

const TICKS: Record<string, { icon: typeof IconCheck; color?: string }> = {
  queued: { icon: IconClock }, sending: { icon: IconClock }, sent: { icon: IconCheck }, delivered: { icon: IconChecks },
  read: { icon: IconChecks, color: 'light-dark(#14539f, #8ec2ff)' }, played: { icon: IconChecks, color: 'light-dark(#14539f, #8ec2ff)' },
};
const BAD = ['failed', 'dead', 'unknown', 'cancelled'];
const ICONS: Record<string, typeof IconFile> = {
  image: IconPhoto, sticker: IconPhoto, video: IconVideo, audio: IconMicrophone, document: IconFile, location: IconMapPin,
};

/** The least lucky part speaks for all. */
const worst = (parts: Part[]) => parts.find((part) => BAD.includes(part.status)) ?? parts[0];

function Tick({ part }: { part: Part }) {
  const { t, known } = useSpeech();
  const key = `state.${part.status}`;
  const label = known(key) ? t(key) : part.status;
  const look = TICKS[part.status] ?? { icon: IconAlertCircle, color: 'var(--mantine-color-error)' };
  return (
    <Group gap={3} wrap="nowrap" c={look.color ?? 'inherit'}>
      <look.icon size={14} aria-hidden /> <span>{label}</span>
    </Group>
  );
}

function Trouble({ part, mayRetry }: { part: Part; mayRetry: boolean }) {
  const { t } = useSpeech();
  const reason = useReason();
  const retry = useRetry();
  return (
    <div className="why">
      <Text size="xs" c={part.status === 'cancelled' ? 'dimmed' : 'var(--mantine-color-error)'}>
        {reason(part.reason, part.advice) ?? t('reason.none')}{part.code ? ` (${t('failures.code')} ${part.code})` : ''}
      </Text>
      {mayRetry && part.status !== 'cancelled' && (
        <Button size="compact-xs" variant="default" mt={4} loading={retry.busy(part.id)} onClick={() => void retry.one(part.id, part.status)}>{t('action.retry')}</Button>
      )}
    </div>
  );
}

export function Bubble({ message, mayRetry }: { message: Message; mayRetry: boolean }) {
  const { t, time } = useSpeech();
  const reason = useReason();
  const out = message.direction === 'out';
  const part = worst(message.deliveries);
  const bad = part !== undefined && BAD.includes(part.status);
  const Icon = ICONS[message.type];
  const author = `author.${message.author}` as Key;
  const held = part?.status === 'queued' && part.reason ? reason(part.reason, part.advice) : null;
  return (
    <article className={`bubble ${message.direction} ${message.author} ${bad ? 'failed' : ''}`} aria-label={`${t(author)}, ${time(message.sentAt)}`}>
      {out && <div className="who">{t(author)}</div>}
      <Group gap={6} align="flex-start" wrap="nowrap">
        {Icon && <Icon size={17} aria-hidden style={{ flex: 'none', marginTop: 2 }} />}
        <p dir="auto">{message.text === '' ? <em>{t('message.empty', { type: message.type })}</em> : <Formatted text={message.text} markdown={message.author === 'chatbot'} />}</p>
      </Group>
      <Attachment message={message} />
      {message.type === 'unsupported' && <Text size="xs" c="dimmed">{t('message.unsupported')}</Text>}
      {message.note && <div className="why dark-dim">{reason(message.note, message.explanation)}</div>}
      {held && <div className="why dark-dim">{held}</div>}
      {bad && part && <Trouble part={part} mayRetry={mayRetry} />}
      <div className="foot">
        <Tooltip label={time(message.sentAt, { dateStyle: 'full', timeStyle: 'medium' })} withArrow openDelay={400}>
          <time dateTime={message.sentAt}>{time(message.sentAt, { hour: '2-digit', minute: '2-digit' })}</time>
        </Tooltip>
        {part && <Tick part={part} />}
        {out && message.deliveries.length === 0 && <span>{t('message.shadow')}</span>}
        {(message.wamid ?? part?.wamid) && (
          <LinkAnchor to="/trace" search={{ wamid: message.wamid ?? part?.wamid ?? '' }} size="xs" c="dimmed" underline="always">{t('message.why')}</LinkAnchor>
        )}
      </div>
    </article>
  );
}

/** What the server has not shown us yet. */
export function Unconfirmed({ one }: { one: Outgoing }) {
  const { t } = useSpeech();
  const sentence = useSentence();
  return (
    <article className={`bubble out person ${one.state === 'failed' ? 'failed' : ''}`} aria-label={t('author.person')}>
      <div className="who">{t('author.person')}</div>
      {one.file && <Group gap={6} wrap="nowrap"><IconFile size={17} aria-hidden style={{ flex: 'none' }} /><Text size="sm" className="break"><bdi>{one.file.name}</bdi></Text></Group>}
      {one.text !== '' && <p dir="auto">{one.text}</p>}
      {one.state === 'failed' && (
        <div className="why" role="alert">
          <Text size="xs" c="var(--mantine-color-error)">{sentence(one.error)}</Text>
          <Group gap={6} mt={4}>
            <Button size="compact-xs" variant="default" onClick={() => again(one)}>{t('action.retry')}</Button>
            <Button size="compact-xs" variant="subtle" color="gray" onClick={() => discard(one.key)}>{t('action.discard')}</Button>
          </Group>
        </div>
      )}
      <div className="foot"><Group gap={3}><IconClock size={14} aria-hidden /><span>{t(one.state === 'failed' ? 'message.notSent' : 'state.sending')}</span></Group></div>
    </article>
  );
}
