// Speaks with the server: one typed function, problems as errors, and the state of the line.
import type { paths } from './schema';
import * as line from './line';

type Methods = 'get' | 'post' | 'patch' | 'delete';
type PathsOf<M extends Methods> = {
  [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never;
}[keyof paths];
type Operation<P extends keyof paths, M extends Methods> = paths[P] extends Record<M, infer O> ? O : never;
type Json<R> = R extends { content: { 'application/json': infer B } } ? B : unknown;
type Success<O> = O extends { responses: infer R }
  ? R extends { 200: infer A } ? Json<A> : R extends { 201: infer A } ? Json<A> : R extends { 202: infer A } ? Json<A> : unknown
  : never;
type Query<O> = O extends { parameters: { query?: infer Q } } ? Q : never;
type Body<O> = O extends { requestBody: { content: { 'application/json': infer B } } } ? B
  : O extends { requestBody?: { content: { 'application/json': infer B } } } ? B : never;

/** What is wrong with one field of a request. */
export interface FieldError { field: string; message: string }

/** One thing that was checked with Meta. */
export interface Check { name: string; outcome?: string; status?: string; detail: string }

/** An answer that says no: RFC 9457. */
export class Problem extends Error {
  override readonly name = 'Problem';
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly requestId: string,
    readonly errors: FieldError[] = [],
    readonly checks: Check[] = [],
    /** Seconds after which another try makes sense. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail || title);
  }
}

/** No answer came: the line is down, or the server is. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

interface Options<O> {
  params?: Record<string, string>;
  query?: Query<O>;
  body?: Body<O>;
  signal?: AbortSignal;
  /** The same for every try of one wish, so that it happens once. */
  idempotencyKey?: string;
  /** For all clients together; the platform's people alone may. */
  everybody?: boolean;
}

let tenant: string | null = null;
/** Whom a platform's person acts for; null: whoever they belong to. */
export function actFor(id: string | null) {
  if (tenant === id) return;
  tenant = id;
  acting.forEach((tell) => tell());
}

const acting = new Set<() => void>();
/** Calls back when somebody else is acted for, until it is stopped. */
export function whenActing(listener: () => void): () => void {
  acting.add(listener);
  return () => { acting.delete(listener); };
}

/** Asks the server; throws {@link Problem} or {@link NoAnswer}. */
export function api<M extends Methods, P extends PathsOf<M>>(
  method: M, path: P, options: Options<Operation<P, M>> = {},
): Promise<Success<Operation<P, M>>> {
  return call(method, path as string, options as Loose) as Promise<Success<Operation<P, M>>>;
}

interface Loose {
  params?: Record<string, string>; query?: unknown; body?: unknown; signal?: AbortSignal; idempotencyKey?: string;
  everybody?: boolean;
  /** Sent as it is, instead of a body. */
  file?: File;
}

/** The address of a request. */
export function address(path: string, params: Record<string, string> = {}, query: unknown = {}): string {
  const filled = path.replace(/\{(\w+)[^}]*\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries((query ?? {}) as Record<string, unknown>)) {
    if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
  }
  return search.size > 0 ? `${filled}?${search}` : filled;
}

/** The same without types, for whoever needs another address. */
export async function call(method: string, path: string, options: Loose = {}): Promise<unknown> {
  const response = await raw(method, address(path, options.params, options.query), options);
  const text = await response.text();
  return text === '' ? null : JSON.parse(text);
}

/** The whole answer, when it is a good one. */
export async function raw(method: string, url: string, options: Loose = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (tenant !== null && !options.everybody) headers['Switchboard-Tenant'] = tenant;
  if (options.body !== undefined) headers['Content-Type'] = 'application/json';
  if (options.file !== undefined) headers['Content-Type'] = options.file.type || 'application/octet-stream';
  if (options.idempotencyKey !== undefined) headers['Idempotency-Key'] = options.idempotencyKey;
  let response: Response;
  try {
    response = await fetch(url, {
      method: method.toUpperCase(),
      headers,
      credentials: 'same-origin',
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.file === undefined ? {} : { body: options.file }),
      ...(options.signal ? { signal: options.signal } : {}),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    line.isDown();
    throw new NoAnswer();
  }
  line.isUp();
  if (response.ok) return response;
  const problem = await read(response);
  if (problem.code === 'unauthenticated') signedOut(problem);
  throw problem;
}

async function read(response: Response): Promise<Problem> {
  const requestId = response.headers.get('x-request-id') ?? '';
  const after = Number(response.headers.get('retry-after') ?? '');
  try {
    const body = (await response.json()) as Partial<Record<string, unknown>>;
    return new Problem(
      response.status, String(body.code ?? ''), String(body.title ?? response.statusText), String(body.detail ?? ''),
      String(body.request_id ?? requestId), (body.errors as FieldError[] | undefined) ?? [],
      (body.checks as Check[] | undefined) ?? [], after > 0 ? after : null,
    );
  } catch {
    return new Problem(response.status, '', response.statusText || `HTTP ${response.status}`, '', requestId);
  }
}

let onSignedOut: (problem: Problem) => void = () => {};
/** What happens when the server no longer knows who asks. */
export const whenSignedOut = (listener: (problem: Problem) => void) => { onSignedOut = listener; };
const signedOut = (problem: Problem) => onSignedOut(problem);
