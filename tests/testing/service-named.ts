// The conformance service, with every kind of call, under another name.

import { create, createFileRegistry, type DescService } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import {
  type ConformanceService,
  file_palyra_conformance_v1_conformance as conformance,
} from '../../packages/rpc/src/testing/gen/palyra/conformance/v1/conformance_pb.js';

export function serviceNamed(name: string): typeof ConformanceService {
  const proto = create(FileDescriptorProtoSchema, structuredClone(conformance.proto));
  const text = JSON.stringify(proto, (_, value) => (typeof value === 'bigint' ? Number(value) : value));
  const renamed = JSON.parse(text.replaceAll('palyra.conformance.v1', name));
  const file = create(FileDescriptorProtoSchema, renamed);
  const service: DescService = createFileRegistry(file, () => undefined).getService(
    `${name}.ConformanceService`,
  )!;
  return service as typeof ConformanceService;
}
