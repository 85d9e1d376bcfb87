import { call } from './client';
import type { AuditEvent, ClusterNode, ClusterSummary, Role, User } from './types';

export interface Cluster {
  nodes: ClusterNode[];
  summary: ClusterSummary;
}

export type NodeAction = 'drain' | 'undrain' | 'remove';

export const getCluster = async (): Promise<Cluster> => {
  const answer = await call<{ nodes: ClusterNode[]; summary?: ClusterSummary } & Partial<ClusterSummary>>('GET', '/cluster/nodes');
  return { nodes: answer.nodes, summary: answer.summary ?? (answer as unknown as ClusterSummary) };
};

export const actOnNode = (id: string, action: NodeAction): Promise<void> =>
  action === 'remove'
    ? call('DELETE', `/cluster/nodes/${encodeURIComponent(id)}`)
    : call('POST', `/cluster/${action}/${encodeURIComponent(id)}`);

export const listEvents = async (): Promise<AuditEvent[]> => (await call<{ events: AuditEvent[] }>('GET', '/api/events')).events;

export const getSettings = async (): Promise<Record<string, unknown>> => {
  const answer = await call<{ settings?: Record<string, unknown> } & Record<string, unknown>>('GET', '/api/settings');
  return answer.settings ?? answer;
};

export const listUsers = async (): Promise<User[]> => (await call<{ users: User[] }>('GET', '/api/users')).users;

export const createUser = (user: { username: string; name: string; password: string; role: Role }): Promise<User> =>
  call('POST', '/api/users', { body: user });

export const deleteUser = (id: string): Promise<void> => call('DELETE', `/api/users/${encodeURIComponent(id)}`);
