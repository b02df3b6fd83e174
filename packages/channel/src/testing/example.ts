// Computes the worked example of docs/channel.md from its inputs.

import { encodeFrame as encodeCallFrame } from '../../../rpc/src/calls/frame.ts';
import { numberOf } from '../codes.ts';
import { encodeFrame } from '../frame.ts';
import { CipherState } from '../noise/cipher-state.ts';
import { Handshake } from '../noise/handshake.ts';
import { webCrypto } from '../noise/web-crypto.ts';
import { encodeDaemonPayload, encodeDevicePayload, prologueOf, staticKeyInput } from '../proof.ts';
import { knownKey } from './known-key.ts';

/** The values that are given, not computed. */
export const exampleInputs = [
  'device_static_secret',
  'device_ephemeral_secret',
  'daemon_static_secret',
  'daemon_ephemeral_secret',
  'root',
  'issuing',
  'daemon_leaf',
  'device_leaf',
  'daemon_signature',
  'device_signature',
  'rekey_from',
] as const;

export type ExampleInputs = Readonly<Record<(typeof exampleInputs)[number], Uint8Array>>;

const nothing = new Uint8Array();

export async function computeExample(inputs: ExampleInputs): Promise<Record<string, Uint8Array>> {
  const prologue = prologueOf('node');
  const device = await Handshake.start({
    role: 'initiator',
    prologue,
    staticKey: await knownKey(inputs.device_static_secret),
    ephemeralKey: await knownKey(inputs.device_ephemeral_secret),
  });
  const daemon = await Handshake.start({
    role: 'responder',
    prologue,
    staticKey: await knownKey(inputs.daemon_static_secret),
    ephemeralKey: await knownKey(inputs.daemon_ephemeral_secret),
  });
  const firstMessage = await device.write(nothing);
  await daemon.read(firstMessage);
  const daemonProof = encodeDaemonPayload({
    chain: [inputs.daemon_leaf, inputs.issuing],
    signature: inputs.daemon_signature,
    maxStreams: 100,
  });
  const secondMessage = await daemon.write(daemonProof);
  await device.read(secondMessage);
  const deviceProof = encodeDevicePayload({
    chain: [inputs.device_leaf, inputs.issuing],
    signature: inputs.device_signature,
  });
  const thirdMessage = await device.write(deviceProof);
  await daemon.read(thirdMessage);
  const [atDevice, atDaemon] = [await device.finish(), await daemon.finish()];

  const request = encodeCallFrame({ type: 'request', path: '/a.B/C', headers: [['te', 'trailers']] });
  const asked = new Uint8Array([
    ...encodeFrame({ type: 'data', stream: 1, bytes: request }),
    ...encodeFrame({ type: 'ping', value: 300 }),
  ]);
  const goodbye = encodeFrame({ type: 'goaway', number: numberOf('DEVICE_REVOKED'), reason: 'Revoked.' });

  // One direction with a known key, replaced after two messages.
  const cipher = new CipherState(inputs.rekey_from, webCrypto, 2);
  const [zeroth, first] = [await cipher.seal(nothing, nothing), await cipher.seal(nothing, nothing)];
  return {
    prologue,
    device_static: device.staticKey,
    daemon_static: daemon.staticKey,
    first_message: firstMessage,
    daemon_signature_input: staticKeyInput('node', 'daemon', daemon.staticKey),
    daemon_proof: daemonProof,
    second_message: secondMessage,
    device_signature_input: staticKeyInput('node', 'device', device.staticKey),
    device_proof: deviceProof,
    third_message: thirdMessage,
    channel_binding: atDaemon.hash,
    request,
    device_frames: asked,
    device_message_0: await atDevice.send.seal(nothing, asked),
    daemon_frames: goodbye,
    daemon_message_0: await atDaemon.send.seal(nothing, goodbye),
    rekey_message_0: zeroth,
    rekey_message_1: first,
    rekey_message_2: await cipher.seal(nothing, nothing),
  };
}
