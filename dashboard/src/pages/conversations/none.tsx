// The right half of the inbox while no conversation is chosen.
import { Center } from '@mantine/core';
import { IconMessages } from '@tabler/icons-react';
import { useSpeech } from '../../i18n';
import { Empty } from '../../ui/states';

export function NoThread() {
  const { t } = useSpeech();
  return <Center h="100%"><Empty icon={<IconMessages size={40} stroke={1.2} />} title={t('inbox.choose')} text={t('inbox.chooseText')} /></Center>;
}
