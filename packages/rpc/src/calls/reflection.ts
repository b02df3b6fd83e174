// Server reflection, v1 and v1alpha: lists the services of a listener and returns their protos. Both versions have the same
// messages, under different names. https://github.com/grpc/grpc/blob/master/doc/server-reflection.md

import {
  create,
  createRegistry,
  type DescEnum,
  type DescFile,
  fromBinary,
  type MessageInitShape,
  type Registry,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code, type ConnectRouter } from '@connectrpc/connect';
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '../gen/grpc/reflection/v1/reflection_pb.js';
import * as alpha from '../gen/grpc/reflection/v1alpha/reflection_pb.js';

type Question = ServerReflectionRequest['messageRequest'];
type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

/** Describes every service of the router, including services added later. */
export function reflectionRoutes(router: ConnectRouter): void {
  // Built at the first request, when all services are registered.
  let protos: Protos | undefined;
  const answer = (request: ServerReflectionRequest) => {
    protos ??= new Protos(router);
    const messageResponse = protos.answer(request.messageRequest);
    return create(ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse,
    });
  };
  router.service(ServerReflection, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) yield answer(request);
    },
  });
  router.service(alpha.ServerReflection, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        const asked = toBinary(alpha.ServerReflectionRequestSchema, request);
        const answered = answer(fromBinary(ServerReflectionRequestSchema, asked));
        yield fromBinary(
          alpha.ServerReflectionResponseSchema,
          toBinary(ServerReflectionResponseSchema, answered),
        );
      }
    },
  });
}

class Protos {
  readonly #services: readonly string[];
  readonly #files: ReadonlyMap<string, DescFile>;
  readonly #registry: Registry;

  constructor({ handlers }: ConnectRouter) {
    this.#services = [...new Set(handlers.map(({ service }) => service.typeName))].sort();
    const files = new Set<DescFile>();
    for (const { service } of handlers) withImports(service.file, files);
    // Two protos of a program may share a file name, for example service.proto. Their symbols differ.
    this.#registry = createRegistry(...files);
    this.#files = new Map(Array.from(files, (file) => [file.proto.name, file]));
  }

  answer(question: Question): Answer {
    switch (question.case) {
      case 'listServices':
        return {
          case: 'listServicesResponse',
          value: { service: this.#services.map((name) => ({ name })) },
        };
      case 'fileByFilename':
        return fileOrNone(this.#files.get(question.value), question.value);
      case 'fileContainingSymbol':
        return fileOrNone(this.#fileOf(question.value), question.value);
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = question.value;
        const extended = this.#registry.getMessage(containingType);
        const extension = extended && this.#registry.getExtensionFor(extended, extensionNumber);
        return fileOrNone(extension?.file, `${containingType} extension ${extensionNumber}`);
      }
      case 'allExtensionNumbersOfType':
        return this.#extensionsOf(question.value);
      default:
        return failed(Code.InvalidArgument, 'Server reflection does not know this kind of request.');
    }
  }

  /** A type or a service, or a member of one: a method, a field, an enum value. */
  #fileOf(symbol: string): DescFile | undefined {
    const found = this.#registry.get(symbol);
    if (found) return found.file;
    const at = symbol.lastIndexOf('.');
    const inside = symbol.slice(at + 1);
    const parent = at < 0 ? undefined : this.#registry.get(symbol.slice(0, at));
    const names = (parts: readonly { readonly name: string }[]) => parts.some(({ name }) => name === inside);
    if (parent?.kind === 'service' && names(parent.methods)) return parent.file;
    if (parent?.kind === 'message' && names([...parent.fields, ...parent.oneofs])) return parent.file;
    // The values of an enum belong to the scope around the enum.
    const scope = symbol.slice(0, Math.max(at, 0));
    for (const desc of this.#registry)
      if (desc.kind === 'enum' && scopeOf(desc) === scope && names(desc.values)) return desc.file;
    return undefined;
  }

  #extensionsOf(typeName: string): Answer {
    if (!this.#registry.getMessage(typeName)) return notFound(typeName);
    const extensionNumber = [...this.#registry]
      .filter((desc) => desc.kind === 'extension')
      .filter(({ extendee }) => extendee.typeName === typeName)
      .map(({ number }) => number);
    return { case: 'allExtensionNumbersResponse', value: { baseTypeName: typeName, extensionNumber } };
  }
}

const scopeOf = ({ typeName }: DescEnum): string => typeName.slice(0, Math.max(typeName.lastIndexOf('.'), 0));

/** Returns a file with all its imports, so that one answer is enough. */
function withImports(file: DescFile, found = new Set<DescFile>()): Set<DescFile> {
  if (found.has(file)) return found;
  found.add(file);
  for (const each of file.dependencies) withImports(each, found);
  return found;
}

function fileOrNone(file: DescFile | undefined, wanted: string): Answer {
  if (!file) return notFound(wanted);
  const fileDescriptorProto = Array.from(withImports(file), ({ proto }) =>
    toBinary(FileDescriptorProtoSchema, proto),
  );
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

const notFound = (wanted: string) => failed(Code.NotFound, `There is no ${wanted} here.`);

const failed = (errorCode: Code, errorMessage: string): Answer => ({
  case: 'errorResponse',
  value: { errorCode, errorMessage },
});
