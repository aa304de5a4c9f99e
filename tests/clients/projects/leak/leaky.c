/* A Python module that takes memory and, if told so, forgets it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

static PyObject *use(PyObject *module, PyObject *arguments) {
  Py_ssize_t size;
  int forget;
  (void)module;
  if (!PyArg_ParseTuple(arguments, "np", &size, &forget)) return NULL;
  char *block = malloc((size_t)size);
  if (!block) return PyErr_NoMemory();
  memset(block, 1, (size_t)size);
  if (!forget) free(block);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"use", use, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "leaky", NULL, -1, methods,
                                        NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_leaky(void) { return PyModule_Create(&definition); }
