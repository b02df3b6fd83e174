import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { missingPostgres, PostgresServer } from '../testing/postgres.ts';
import { parsePostgresUrl } from './address.ts';
import { PostgresConnection } from './connection.ts';

test('a URL names host, port, user, password and database', async () => {
  const { name, client } = await parsePostgresUrl('postgres://me:p%40ss@127.0.0.1:6543/my%20db\n');
  assert.equal(name, '127.0.0.1:6543/my db');
  const { password, ...rest } = client;
  assert.deepEqual(
    [rest.host, rest.port, rest.user, rest.database, rest.ssl],
    ['127.0.0.1', 6543, 'me', 'my db', false],
  );
  assert.equal(await (password as () => Promise<string>)(), 'p@ss');
  const socket = await parsePostgresUrl('postgresql:///db?host=%2Frun%2Fpostgresql&user=me');
  assert.equal(socket.client.host, '/run/postgresql');
  assert.equal(socket.name, '/run/postgresql/db');
  const six = await parsePostgresUrl('postgres://me@[::1]/db');
  assert.deepEqual([six.client.host, six.name], ['::1', '[::1]:5432/db']);
});

test('another machine is reached with TLS that proves it, whatever the URL says', async () => {
  const { client } = await parsePostgresUrl('postgres://me@db.example.net/db');
  assert.deepEqual(client.ssl, { rejectUnauthorized: true, minVersion: 'TLSv1.2' });
  for (const mode of ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'no-verify', ''])
    await assert.rejects(parsePostgresUrl(`postgres://me@db.example.net/db?sslmode=${mode}`), {
      code: 'MESSAGE_INVALID',
    });
});

for (const url of [
  '',
  'nonsense',
  'mysql://me@host/db',
  'postgres://host/db',
  'postgres://me@host',
  'postgres://me@/db',
  'postgres:///db?user=me',
  'postgres:///db?user=me&host=a,b',
  'postgres://me@host:99999/db',
  'postgres://me@host/db?options=-c%20fsync%3Doff',
  'postgres://me@host/db?sslnegotiation=direct',
  'postgres://me@host/%zz',
  'postgres:///db?host=/run&user=me&sslmode=verify-full',
  'postgres://me@host/db?sslrootcert=/none/ca.pem',
])
  test(`"${url}" is refused, without the password`, async () => {
    await assert.rejects(
      parsePostgresUrl(url.replace('me@', 'me:geheim@')),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'MESSAGE_INVALID');
        assert.doesNotMatch(String(error), /geheim/);
        return true;
      },
    );
  });

describe('a connection', { skip: missingPostgres }, () => {
  test('takes nothing from the environment', async (t) => {
    const server = await PostgresServer.start();
    t.after(() => server.stop());
    const url = await server.database();
    const ambient = {
      PGHOST: '/none',
      PGPORT: '1',
      PGUSER: 'nobody',
      PGPASSWORD: 'wrong',
      PGDATABASE: 'none',
      PGOPTIONS: '-c synchronous_commit=off -c search_path=elsewhere',
      PGSSLMODE: 'require',
      PGCLIENT_ENCODING: 'LATIN1',
      PGREPLICATION: 'true',
      PGSSLNEGOTIATION: 'direct',
      PGBINARY: 'true',
      PGCONNECT_TIMEOUT: '1',
    };
    for (const [name, value] of Object.entries(ambient)) {
      const before = process.env[name];
      process.env[name] = value;
      t.after(() => {
        if (before === undefined) delete process.env[name];
        else process.env[name] = before;
      });
    }
    const connection = await PostgresConnection.open(await parsePostgresUrl(url));
    const [row] = await connection.execute(
      `select current_user as who, current_setting('synchronous_commit') as sync,
         current_setting('search_path') as path, current_setting('client_encoding') as encoding`,
    );
    assert.deepEqual(row, { who: 'postgres', sync: 'on', path: 'public', encoding: 'UTF8' });
    await connection.close();
  });

  test('over TLS believes only the right certificate for the right name', async (t) => {
    const folder = temporaryFolder();
    const at = (name: string) => join(folder, name);
    const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'ignore', cwd: folder });
    for (const name of ['server', 'other'])
      openssl(
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
        ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
        ...['-keyout', `${name}.key`, '-out', `${name}.pem`],
      );
    const server = await PostgresServer.start('', { tls: { key: at('server.key'), cert: at('server.pem') } });
    t.after(() => server.stop());
    await server.database();
    const open = async (host: string, ca?: string) => {
      const url = `postgres://postgres@${host}:${server.port}/test_1?sslmode=verify-full${ca ? `&sslrootcert=${at(ca)}` : ''}`;
      const connection = await PostgresConnection.open(await parsePostgresUrl(url));
      const [row] = await connection.execute('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
      await connection.close();
      return row?.ssl;
    };
    assert.equal(await open('localhost', 'server.pem'), true);
    for (const [host, ca] of [
      ['127.0.0.1', 'server.pem'],
      ['localhost', 'other.pem'],
      ['localhost', undefined],
    ] as const)
      await assert.rejects(open(host, ca), { code: 'STORE_UNREACHABLE' }, `${host} ${ca}`);
  });
});
