import { containersOf, type Manifest } from './chart.testing.js';

/** Volumes that restricted Pod Security lets pods have. */
const VOLUMES = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

/**
 * What of a pod the level `restricted` of Kubernetes' Pod Security Standards would refuse, as sentences
 * (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
 */
export function podSecurityFaults(template: Manifest): readonly string[] {
  const { spec } = template;
  const pod = spec.securityContext ?? {};
  const faults: string[] = [];
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) if (spec[field]) faults.push(`the pod has ${field}`);
  for (const { name, ...source } of spec.volumes ?? []) {
    const [kind] = Object.keys(source);
    if (kind === undefined || !VOLUMES.has(kind)) faults.push(`the volume ${name} is a ${kind}`);
  }
  for (const container of containersOf(template)) {
    const own = container.securityContext ?? {};
    const say = (what: string) => faults.push(`the container ${container.name} ${what}`);
    if ((own.runAsNonRoot ?? pod.runAsNonRoot) !== true) say('may run as root');
    if ((own.runAsUser ?? pod.runAsUser) === 0) say('runs as root');
    if (own.allowPrivilegeEscalation !== false) say('may gain privileges');
    if (own.privileged) say('is privileged');
    if (!own.capabilities?.drop?.includes('ALL')) say('keeps capabilities');
    if (own.capabilities?.add?.length > 0) say('adds capabilities');
    if (!['RuntimeDefault', 'Localhost'].includes((own.seccompProfile ?? pod.seccompProfile)?.type))
      say('has no seccomp');
    if (container.ports?.some(({ hostPort }: Manifest) => hostPort !== undefined)) say('has a port of the node');
  }
  return faults;
}
