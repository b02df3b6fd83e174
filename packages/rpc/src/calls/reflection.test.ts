import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, createFileRegistry, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, file_google_protobuf_timestamp } from '@bufbuild/protobuf/wkt';
import { Code, createClient, createRouterTransport } from '@connectrpc/connect';
import { ServerReflection, ServerReflectionRequestSchema } from '../gen/grpc/reflection/v1/reflection_pb.js';
import { ServerReflection as ServerReflectionAlpha } from '../gen/grpc/reflection/v1alpha/reflection_pb.js';
import { AdminService, NodeService } from '../index.ts';
import { reflectionRoutes } from './reflection.ts';

const transport = createRouterTransport((router) => {
  reflectionRoutes(router);
  // Registered after reflection, as an embedding program registers its own services later.
  router.service(NodeService, {});
  router.service(AdminService, {});
});

type Question = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>['messageRequest']>;

async function ask(messageRequest: Question, over = transport) {
  const request = create(ServerReflectionRequestSchema, { host: 'here', messageRequest });
  const client = createClient(ServerReflection, over);
  for await (const answer of client.serverReflectionInfo(once(request))) {
    assert.equal(answer.validHost, 'here');
    return answer.messageResponse;
  }
  return assert.fail('no answer');
}

async function* once<T>(value: T) {
  yield value;
}

async function filesOf(question: Question, over = transport): Promise<string[]> {
  const answer = await ask(question, over);
  assert.ok(answer.case === 'fileDescriptorResponse', JSON.stringify(answer));
  return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
}

const nodeFile = 'palyra/node/v1/node.proto';
/** The file and its imports. */
const files = [nodeFile, 'palyra/endpoints/v1/endpoints.proto'];

test('a file is found by its name, and by every kind of symbol in it', async () => {
  assert.deepEqual(await filesOf({ case: 'fileByFilename', value: nodeFile }), files);
  for (const symbol of [
    'palyra.node.v1.NodeService',
    'palyra.node.v1.NodeService.Status',
    'palyra.node.v1.Hello',
    'palyra.node.v1.Hello.agent_id',
    'palyra.node.v1.DeviceEvent.event',
  ])
    assert.deepEqual(await filesOf({ case: 'fileContainingSymbol', value: symbol }), files, symbol);
});

test('an unknown file or symbol is NOT_FOUND, and an empty request is INVALID_ARGUMENT', async () => {
  const extension = { containingType: 'palyra.node.v1.Hello', extensionNumber: 100 };
  const questions: [Question, Code][] = [
    [{ case: 'fileByFilename', value: '../../etc/passwd' }, Code.NotFound],
    [{ case: 'fileByFilename', value: '' }, Code.NotFound],
    [{ case: 'fileContainingSymbol', value: '' }, Code.NotFound],
    [{ case: 'fileContainingSymbol', value: 'Hello' }, Code.NotFound],
    [{ case: 'fileContainingSymbol', value: 'palyra.node.v1' }, Code.NotFound],
    [{ case: 'fileContainingSymbol', value: 'palyra.node.v1.NodeService.Nothing' }, Code.NotFound],
    [{ case: 'fileContainingSymbol', value: 'palyra.node.v1.Hello.toString' }, Code.NotFound],
    [{ case: 'fileContainingExtension', value: extension }, Code.NotFound],
    [{ case: 'allExtensionNumbersOfType', value: 'no.such.Type' }, Code.NotFound],
    [{ case: undefined }, Code.InvalidArgument],
  ];
  for (const [question, code] of questions) {
    const answer = await ask(question);
    assert.ok(answer.case === 'errorResponse', JSON.stringify(question));
    assert.equal(answer.value.errorCode, code, JSON.stringify(question));
  }
});

test('a program’s service is returned with all imports of its proto, including well-known types', async () => {
  const own = createFileRegistry(
    create(FileDescriptorProtoSchema, {
      name: 'clock/clock.proto',
      package: 'clock',
      syntax: 'proto3',
      dependency: ['google/protobuf/timestamp.proto'],
      service: [
        {
          name: 'Clock',
          method: [
            {
              name: 'Next',
              inputType: '.google.protobuf.Timestamp',
              outputType: '.google.protobuf.Timestamp',
            },
          ],
        },
      ],
    }),
    (name) =>
      name === file_google_protobuf_timestamp.proto.name ? file_google_protobuf_timestamp : undefined,
  ).getService('clock.Clock')!;
  const described = createRouterTransport((router) => {
    reflectionRoutes(router);
    router.service(own, {});
  });
  const files = ['clock/clock.proto', 'google/protobuf/timestamp.proto'];
  assert.deepEqual(
    await filesOf({ case: 'fileContainingSymbol', value: 'clock.Clock.Next' }, described),
    files,
  );
  const [timestamp] = files.slice(1);
  assert.deepEqual(await filesOf({ case: 'fileByFilename', value: timestamp! }, described), [timestamp]);
});

test('two protos with the same file name are both described, and enum values belong to the enclosing scope', async () => {
  const serviceOf = (name: string, scope: string) =>
    createFileRegistry(
      create(FileDescriptorProtoSchema, {
        name: 'service.proto',
        package: name,
        syntax: 'proto3',
        messageType: [{ name: 'Ask' }],
        enumType: [{ name: 'Colour', value: [{ name: 'RED', number: 0 }] }],
        service: [
          { name: 'Mine', method: [{ name: 'Do', inputType: `${scope}.Ask`, outputType: `${scope}.Ask` }] },
        ],
      }),
      () => undefined,
    ).getService(name ? `${name}.Mine` : 'Mine')!;
  const described = createRouterTransport((router) => {
    reflectionRoutes(router);
    for (const [name, scope] of [
      ['one', '.one'],
      ['two', '.two'],
      ['', ''],
    ] as const)
      router.service(serviceOf(name, scope), {});
  });
  for (const name of ['one', 'two', ''])
    for (const symbol of ['Mine', 'Mine.Do', 'Ask', 'Colour', 'RED']) {
      const answer = await ask(
        { case: 'fileContainingSymbol', value: name ? `${name}.${symbol}` : symbol },
        described,
      );
      assert.ok(answer.case === 'fileDescriptorResponse', `${name} ${symbol}`);
      const [file] = answer.value.fileDescriptorProto;
      assert.equal(fromBinary(FileDescriptorProtoSchema, file!).package, name);
    }
  const inside = await ask({ case: 'fileContainingSymbol', value: 'one.Colour.RED' }, described);
  assert.equal(inside.case, 'errorResponse');
});

test('a message without extensions gets an empty list', async () => {
  const answer = await ask({ case: 'allExtensionNumbersOfType', value: 'palyra.node.v1.Hello' });
  assert.ok(answer.case === 'allExtensionNumbersResponse');
  assert.deepEqual(answer.value.extensionNumber, []);
});

test('v1alpha gives the same answers as v1', async () => {
  const client = createClient(ServerReflectionAlpha, transport);
  async function* questions() {
    yield { messageRequest: { case: 'listServices' as const, value: '' } };
    yield { messageRequest: { case: 'fileByFilename' as const, value: nodeFile } };
  }
  const answers = [];
  for await (const { messageResponse } of client.serverReflectionInfo(questions()))
    answers.push(messageResponse);
  const [list, file] = answers;
  assert.ok(list?.case === 'listServicesResponse' && file?.case === 'fileDescriptorResponse');
  assert.deepEqual(
    list.value.service.map(({ name }) => name),
    [
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
      AdminService.typeName,
      NodeService.typeName,
    ],
  );
});
