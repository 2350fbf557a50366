local ffi = require("ffi")
local bit = require("bit")
ffi.cdef[[
typedef struct { double x, y; int n; } point;
int abs(int); double pow(double,double); int snprintf(char*, size_t, const char*, ...); size_t strlen(const char*);
void qsort(void *, size_t, size_t, int (*)(const void *, const void *)); char *getenv(const char*);
]]
local function fib(n) if n<2 then return n end return fib(n-1)+fib(n-2) end
local function nbody(steps)
  local b={{x=0,y=0,z=0,vx=0,vy=0,vz=0,m=39.47},{x=4.84,y=-1.16,z=-.10,vx=.6,vy=2.81,vz=-.02,m=.037},{x=8.34,y=4.12,z=-.4,vx=-1.01,vy=1.81,vz=.008,m=.011}}
  for s=1,steps do
    for i=1,#b do local p=b[i] for j=i+1,#b do local q=b[j]
      local dx,dy,dz=p.x-q.x,p.y-q.y,p.z-q.z local d=dx*dx+dy*dy+dz*dz local mag=.01/(d*math.sqrt(d))
      p.vx=p.vx-dx*q.m*mag p.vy=p.vy-dy*q.m*mag p.vz=p.vz-dz*q.m*mag q.vx=q.vx+dx*p.m*mag q.vy=q.vy+dy*p.m*mag q.vz=q.vz+dz*p.m*mag end end
    for i=1,#b do local p=b[i] p.x=p.x+.01*p.vx p.y=p.y+.01*p.vy p.z=p.z+.01*p.vz end
  end
  return string.format("%.17g %.17g", b[1].x, b[2].vy)
end
local function sieve(n) local p={} for i=2,n do p[i]=true end for i=2,math.sqrt(n) do if p[i] then for j=i*i,n,i do p[j]=false end end end local c=0 for i=2,n do if p[i] then c=c+1 end end return c end
local function strings(n) local t={} for i=1,n do t[#t+1]=string.char(65+i%26)..i end local s=table.concat(t,",") local c=0 for w in s:gmatch("[^,]+") do if w:byte()==65 then c=c+#w end end return c, s:find("Z25,",1,true), (s:gsub("A","")):len() end
local function bits(n) local h=0 for i=1,n do h=bit.bxor(bit.rol(h,5),i) h=bit.band(h*33,0x7fffffff) h=bit.tobit(h+bit.rshift(i,3)) end return h end
local function structs(n) local a=ffi.new("point[?]",n) for i=0,n-1 do a[i].x=i*.5 a[i].y=-i a[i].n=i end local s=0 for r=1,20 do for i=0,n-1 do s=s+a[i].x*a[i].n-a[i].y end end return s end
local function int64(n) local h=14695981039346656037ULL for i=1,n do h=bit.bxor(h,i)*1099511628211ULL end return tostring(h), tostring(ffi.cast("int64_t",h)/7LL) end
local function calls(n) local s=0 for i=1,n do s=s+ffi.C.abs(-i)+ffi.C.pow(i%7,2) end return s end
local function callbacks(n) local a=ffi.new("int[?]",n) for i=0,n-1 do a[i]=(i*7919)%1009 end local c=0
  local cb=ffi.cast("int (*)(const void *, const void *)",function(x,y) c=c+1 local p,q=ffi.cast("const int*",x)[0],ffi.cast("const int*",y)[0] return p<q and -1 or p>q and 1 or 0 end)
  ffi.C.qsort(a,n,4,cb) cb:free() return a[0],a[n-1],c end
local function closures(n) local fs={} for i=1,10 do fs[i]=function(x) return x*i+1 end end local s=0 for i=1,n do s=(fs[i%10+1](s)+i)%1000003 end return s end
local function metas(n) local V V={__add=function(a,b) return setmetatable({a[1]+b[1]},V) end,__index=function(t,k) return k end} local v=setmetatable({0},V) local one=setmetatable({1},V) for i=1,n do v=v+one end return v[1], v.z end
local function errs(n) local c=0 for i=1,n do local ok,e=pcall(function() if i%3==0 then error("x"..i) end return i end) if not ok then c=c+1 end end return c end
local function coros(n) local co=coroutine.wrap(function() local i=0 while true do i=i+1 coroutine.yield(i*2) end end) local s=0 for i=1,n do s=s+co() end return s end
local function mixed(n) local t={} for i=1,n do if i%5==0 then t[i]="s"..i elseif i%3==0 then t[i]=i+.5 else t[i]=i end end local a,b=0,0 for i=1,n do local v=t[i] if type(v)=="string" then a=a+#v else b=b+v end end return a,b end
local function run(scale)
  print(fib(18+(scale>1 and 6 or 0))) print(nbody(3000*scale)) print(sieve(20000*scale)) print(strings(2000*scale)) print(bits(50000*scale)) print(structs(500*scale)) print(int64(20000*scale)) print(calls(20000*scale)) print(callbacks(300*scale))
  print(closures(20000*scale)) print(metas(10000*scale)) print(errs(500*scale)) print(coros(3000*scale)) print(mixed(5000*scale))
end
local scale=tonumber(arg[1] or "1")
run(scale)
for i=1,3 do jit.flush() run(1) end
-- many traces: generated functions, flushed, made again where the old ones stood
local total=0
for round=1,5 do
  for k=1,25 do
    local f=assert(loadstring("local s=... for i=1,200 do s=(s*"..k.."+i*"..round..")%1000003 if s%"..(k+1).."==0 then s=s+"..round.." end end return s"))
    total=(total+f(total)+f(1))%1000003
  end
  jit.flush()
end
print(total)
local buf=ffi.new("char[64]") ffi.C.snprintf(buf,64,"%d %s %.3f",ffi.new("int",5),"str",ffi.new("double",2.5)) print(ffi.string(buf))
