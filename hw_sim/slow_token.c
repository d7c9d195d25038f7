/* A PKCS#11 module that hands everything on to the one named by SIM_TOKEN_MODULE. Before it signs it does what the file
   named by SIM_TOKEN_FAULT says: "slow MS", "hang", "crash" or "gone"; nothing, if there is no such file.
   The table of functions is the standard's: a version, then 68 pointers, the 44th of them C_Sign. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FUNCTIONS = 68, SIGN = 43 };
static const unsigned long DEVICE_REMOVED = 0x32, GENERAL_ERROR = 0x05;

typedef unsigned long (*Sign)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *);
typedef struct { unsigned char version[2]; void *functions[FUNCTIONS]; } Table;

static Table table;
static Sign sign;

static unsigned long slow_sign(unsigned long session, unsigned char *data, unsigned long length,
                               unsigned char *signature, unsigned long *signature_length) {
  const char *path = getenv("SIM_TOKEN_FAULT");
  FILE *file = path ? fopen(path, "r") : NULL;
  char fault[16] = "";
  unsigned milliseconds = 0;
  if (file && fscanf(file, "%15s %u", fault, &milliseconds) > 0) {
    if (!strcmp(fault, "hang")) for (;;) pause();
    if (!strcmp(fault, "crash")) abort();
    if (!strcmp(fault, "gone")) return DEVICE_REMOVED;
    if (signature) usleep(milliseconds * 1000);
  }
  if (file) fclose(file);
  return sign(session, data, length, signature, signature_length);
}

unsigned long C_GetFunctionList(Table **list) {
  const char *path = getenv("SIM_TOKEN_MODULE");
  void *module = path ? dlopen(path, RTLD_NOW) : NULL;
  unsigned long (*get)(Table **) = module ? (unsigned long (*)(Table **))dlsym(module, "C_GetFunctionList") : NULL;
  Table *below = NULL;
  if (!get || get(&below)) return GENERAL_ERROR;
  table = *below;
  sign = (Sign)table.functions[SIGN];
  table.functions[SIGN] = (void *)slow_sign;
  *list = &table;
  return 0;
}
