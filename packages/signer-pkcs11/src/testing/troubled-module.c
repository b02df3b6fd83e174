/* A PKCS #11 module for tests: SoftHSM behind wrappers that take their time, hang, crash, count their calls and change what the
 * token says of itself. What they do stands in the file named by TROUBLED_CONTROL, one "name value" a line, read at each call:
 *   C_Login 700     takes 700 ms longer
 *   C_Login hang    never returns
 *   C_Login crash   ends the process
 *   flags 65536     set in the flags of the token, besides its own
 *   no-flags 8      cleared in them
 * Each call is written to the file named by TROUBLED_LOG. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CK_PTR *
#define CK_DEFINE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType(*name)
#define CK_CALLBACK_FUNCTION(returnType, name) returnType(*name)
#define NULL_PTR 0
#include "pkcs11.h"

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST list;

static int control(const char *name, char *value, size_t size) {
  FILE *file = fopen(getenv("TROUBLED_CONTROL"), "r");
  char line[128];
  int found = 0;
  if (!file) return 0;
  while (fgets(line, sizeof line, file)) {
    char *space = strchr(line, ' ');
    if (!space) continue;
    *space = 0;
    if (strcmp(line, name) == 0) {
      snprintf(value, size, "%s", space + 1);
      found = 1;
    }
  }
  fclose(file);
  return found;
}

static void trouble(const char *name) {
  char value[64];
  FILE *log = fopen(getenv("TROUBLED_LOG"), "a");
  if (log) {
    fprintf(log, "%s\n", name);
    fclose(log);
  }
  if (!control(name, value, sizeof value)) return;
  if (strncmp(value, "hang", 4) == 0)
    for (;;) pause();
  if (strncmp(value, "crash", 5) == 0) abort();
  usleep(1000 * (useconds_t)atoi(value));
}

#define WRAP(name, params, args)   \
  static CK_RV my_##name params {  \
    trouble(#name);                \
    return real->name args;        \
  }

WRAP(C_Initialize, (CK_VOID_PTR a), (a))
WRAP(C_Finalize, (CK_VOID_PTR a), (a))
WRAP(C_GetSlotList, (CK_BBOOL a, CK_SLOT_ID_PTR b, CK_ULONG_PTR c), (a, b, c))
WRAP(C_OpenSession, (CK_SLOT_ID a, CK_FLAGS b, CK_VOID_PTR c, CK_NOTIFY d, CK_SESSION_HANDLE_PTR e), (a, b, c, d, e))
WRAP(C_CloseSession, (CK_SESSION_HANDLE a), (a))
WRAP(C_Login, (CK_SESSION_HANDLE a, CK_USER_TYPE b, CK_UTF8CHAR_PTR c, CK_ULONG d), (a, b, c, d))
WRAP(C_FindObjectsInit, (CK_SESSION_HANDLE a, CK_ATTRIBUTE_PTR b, CK_ULONG c), (a, b, c))
WRAP(C_FindObjects, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE_PTR b, CK_ULONG c, CK_ULONG_PTR d), (a, b, c, d))
WRAP(C_GetAttributeValue, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b, CK_ATTRIBUTE_PTR c, CK_ULONG d), (a, b, c, d))
WRAP(C_GenerateKeyPair,
     (CK_SESSION_HANDLE a, CK_MECHANISM_PTR b, CK_ATTRIBUTE_PTR c, CK_ULONG d, CK_ATTRIBUTE_PTR e, CK_ULONG f,
      CK_OBJECT_HANDLE_PTR g, CK_OBJECT_HANDLE_PTR h),
     (a, b, c, d, e, f, g, h))
WRAP(C_SignInit, (CK_SESSION_HANDLE a, CK_MECHANISM_PTR b, CK_OBJECT_HANDLE c), (a, b, c))
WRAP(C_Sign, (CK_SESSION_HANDLE a, CK_BYTE_PTR b, CK_ULONG c, CK_BYTE_PTR d, CK_ULONG_PTR e), (a, b, c, d, e))

static CK_RV my_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  char value[64];
  CK_RV result;
  trouble("C_GetTokenInfo");
  result = real->C_GetTokenInfo(slot, info);
  if (control("flags", value, sizeof value)) info->flags |= strtoul(value, 0, 10);
  if (control("no-flags", value, sizeof value)) info->flags &= ~strtoul(value, 0, 10);
  return result;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out) {
  CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
  void *library = dlopen(getenv("TROUBLED_MODULE"), RTLD_NOW);
  if (!library) return CKR_GENERAL_ERROR;
  *(void **)&get = dlsym(library, "C_GetFunctionList");
  if (get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  list = *real;
#define USE(name) list.name = my_##name
  USE(C_Initialize);
  USE(C_Finalize);
  USE(C_GetSlotList);
  USE(C_GetTokenInfo);
  USE(C_OpenSession);
  USE(C_CloseSession);
  USE(C_Login);
  USE(C_FindObjectsInit);
  USE(C_FindObjects);
  USE(C_GetAttributeValue);
  USE(C_GenerateKeyPair);
  USE(C_SignInit);
  USE(C_Sign);
  *out = &list;
  return CKR_OK;
}
