// Whether the server can be reached: said by every request, and asked again every two seconds while it cannot.
import { useSyncExternalStore } from 'react';

let down = false;
let timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();
const healed = new Set<() => void>();

function change(now: boolean) {
  if (down === now) return;
  down = now;
  listeners.forEach((tell) => tell());
  if (!now) healed.forEach((tell) => tell());
}

/** A request got no answer. */
export function isDown() {
  change(true);
  timer ??= setTimeout(() => void ask(), 2000);
}

/** A request got an answer. */
export function isUp() {
  clearTimeout(timer);
  timer = undefined;
  change(false);
}

/** Asks whether the server can be reached. */
export async function ask() {
  timer = undefined;
  try {
    await fetch('/health', { cache: 'no-store' });
    isUp();
  } catch {
    isDown();
  }
}

window.addEventListener('offline', isDown);
window.addEventListener('online', () => void ask());

/** Calls back whenever the line is up again. */
export const whenHealed = (listener: () => void) => { healed.add(listener); };

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => { listeners.delete(listener); };
};

/** Whether the line is down right now. */
export const useIsDown = () => useSyncExternalStore(subscribe, () => down);
