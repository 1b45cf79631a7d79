// Messages day by day, as bars.
export function Days() {
  return null;
}
