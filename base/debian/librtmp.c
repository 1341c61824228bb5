/*
 * In place of librtmp.so.1, which libcurl is linked with: without Flash's protocol, and without
 * the libraries that nothing else needs: GnuTLS, Nettle, libtasn1, p11-kit. curl says that an
 * rtmp: URL is not one. These are the functions that libcurl imports.
 */
static char session;

void *RTMP_Alloc(void) { return &session; }
void RTMP_Init(void *r) { (void)r; }
void RTMP_SetBufferMS(void *r, int size) { (void)r, (void)size; }
int RTMP_SetupURL(void *r, char *url) { return (void)r, (void)url, 0; }
void RTMP_Free(void *r) { (void)r; }

/* libcurl calls these after RTMP_SetupURL has succeeded. */
int RTMP_Connect1(void *r, void *packet) { return (void)r, (void)packet, 0; }
int RTMP_ConnectStream(void *r, int start) { return (void)r, (void)start, 0; }
int RTMP_Read(void *r, char *to, int size) { return (void)r, (void)to, (void)size, -1; }
int RTMP_Write(void *r, const char *from, int size) { return (void)r, (void)from, (void)size, -1; }
void RTMP_Close(void *r) { (void)r; }
